"""Where columns lie: by hand, and there and back again."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from xpert.analog.layout import Layout
from xpert.design import Chip, Device


def layout(outputs: int, slices: int, columns: int, encoding: str = "offset") -> Layout:
    """Of 1-bit cells, as many as it takes for the slices."""
    cell_bits = 1 if slices > 1 else 2
    code_bits = slices * cell_bits
    bits = code_bits + 1 if encoding == "differential" else code_bits
    chip = Chip(columns=columns, weight_bits=bits, device=Device(cell_bits=cell_bits), encoding=encoding)
    return Layout.of(outputs, chip)


def test_offset_by_hand() -> None:
    # 8 columns hold 4 outputs of 2 slices; the reference columns (-1, -2) lie between the second and the third output.
    found = layout(5, 2, 8)
    data = torch.tensor([[10.0, 20, 30, 40, 50], [11, 21, 31, 41, 51]]).reshape(1, 1, 2, 5)
    reference = torch.tensor([[-1.0, -1], [-2, -2]]).reshape(1, 1, 2, 2)
    columns = found.arrange(data, reference)
    assert columns[0, 0, 0].tolist() == [10, 11, 20, 21, -1, -2, 30, 31, 40, 41]
    assert columns[0, 1, 0].tolist() == [50, 51, 0, 0, -1, -2, 0, 0, 0, 0]
    assert found.spread(reference).flatten().tolist() == [-1] * 5 + [-2] * 5
    # Three columns to an ADC: 8 converted columns have ADCs 0 0 0 1 1 1 2 2; the second crossbar starts at ADC 3.
    assert found.adc(3).tolist() == [[0, 0, 1, 2, 3], [0, 1, 1, 2, 3]]
    assert found.adcs(3) == 6


def test_differential_by_hand() -> None:
    found = layout(3, 2, 8, "differential")
    data = torch.tensor([[10.0, 20, 30], [11, 21, 31]]).reshape(1, 1, 2, 3)
    columns = found.arrange(data, -data)
    assert columns[0, 0, 0].tolist() == [10, -10, 11, -11, 20, -20, 21, -21]
    assert columns[0, 1, 0].tolist() == [30, -30, 31, -31, 0, 0, 0, 0]
    # A pair is one conversion.
    assert found.adc(2).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert found.adcs(2) == 4


@given(
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(8, 40),
    st.integers(1, 12),
    st.sampled_from(["offset", "differential"]),
)
def test_columns_come_back(outputs: int, slices: int, columns: int, share: int, encoding: str) -> None:
    found = layout(outputs, slices, columns, encoding)
    data = torch.arange(2.0 * 3 * slices * outputs).reshape(2, 3, slices, outputs) + 1
    shape = data.shape if found.paired else (2, 3, slices, found.crossbars)
    reference = -torch.arange(float(torch.Size(shape).numel())).reshape(shape) - 1
    back = found.take_apart(found.arrange(data, reference))
    assert torch.equal(back[0], data)
    assert torch.equal(back[1], reference)
    adc = found.adc(share)
    counts = torch.bincount(adc.flatten(), minlength=found.adcs(share))
    assert counts.max() <= share
    assert len(counts) == found.adcs(share)
