"""Weights as cells: by hand, and as properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xpert.analog.cells import Cells, encode, row_blocks
from xpert.analog.draws import Draws
from xpert.analog.layout import Layout
from xpert.analog.program import program
from xpert.design import AnalogSettings, Chip, Device

OFFSET, DIFFERENTIAL = Chip(), Chip(encoding="differential")
OFF = Chip(analog=AnalogSettings(reference="off"))


def matrix(values: list[int]) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, -1)


def programmed(cells: Cells, chip: Chip, seed: int = 0) -> torch.Tensor:
    """Conductances on one sampled chip; a row block per `chip.rows` rows."""
    _, rows, _, outputs = cells.data.shape
    draws = Draws(torch.Generator().manual_seed(seed))
    layout = Layout.of(outputs, chip)
    return program(cells, chip, layout, row_blocks(1, rows, chip), draws).conductance


def test_offset_by_hand() -> None:
    # -3 + 128 = 125 = 7 * 16 + 13 and 100 + 128 = 228 = 14 * 16 + 4; the reference column holds 8 in both slices.
    code, cells = OFFSET.weight_code, encode(matrix([-3, 100]), OFFSET.weight_code)
    assert cells.data.tolist() == [[[[13, 4], [7, 14]]]]
    assert cells.nominal.tolist() == [[[[5, -4], [-1, 6]]]]
    # 8 * 16 + 8 = 136 is subtracted where 128 should be.
    assert code.input_weight == 8
    assert code.limits == ((-8, 7), (-8, 7))


def test_offset_with_reference_off_by_hand() -> None:
    code, cells = OFF.weight_code, encode(matrix([-3]), OFF.weight_code)
    assert cells.nominal.flatten().tolist() == [13, 7]
    assert code.input_weight == -128


def test_differential_by_hand() -> None:
    # 7 bits of magnitude in 4-bit cells: 100 = 6 * 16 + 4.
    code, cells = DIFFERENTIAL.weight_code, encode(matrix([-3, 100]), DIFFERENTIAL.weight_code)
    assert code.slice_bits == (4, 3)
    assert cells.nominal.tolist() == [[[[-3, 4], [0, 6]]]]
    assert code.input_weight == 0
    assert code.limits == ((-15, 15), (-7, 7))


@given(
    st.integers(1, 9), st.integers(1, 200), st.sampled_from([8, 64, 100]), st.sampled_from(["conventional", "novel"])
)
def test_blocks_cover_every_row_once(positions: int, channels: int, rows: int, mapping: str) -> None:
    chip = Chip.parse({"rows": rows, "mapping": mapping})
    blocks = row_blocks(positions, channels, chip)
    assert [row for start, stop in blocks for row in range(start, stop)] == list(range(positions * channels))
    assert all(0 < stop - start <= rows for start, stop in blocks)
    if mapping == "novel":
        assert all(start // channels == (stop - 1) // channels for start, stop in blocks)
    else:
        assert all(stop - start == rows for start, stop in blocks[:-1])


@pytest.mark.parametrize("chosen", [OFFSET, DIFFERENTIAL])
def test_variation_is_proportional_to_conductance(chosen: Chip) -> None:
    # On/off ratio 16: the off state conducts one level. A weight of 5 then conducts 6 (low slice) against a pedestal.
    chip = chosen.replace(device=Device(r_on_ohm=1e4, r_off_ohm=16e4, programming_sigma=0.1))
    cells = encode(torch.full((1, 4000, 64), 5), chip.weight_code)
    conductance = programmed(cells, chip)
    error = conductance - cells.nominal
    own = (cells.data + 1).square()
    if chip.weight_code.paired:
        own = own + (cells.reference + 1).square()
    expected = 0.1 * own.mean(dim=(0, 1, 3)).sqrt()
    torch.testing.assert_close(error.std(dim=(0, 1, 3)), expected, rtol=0.01, atol=0)
    torch.testing.assert_close(error.mean(dim=(0, 1, 3)), torch.zeros(2), rtol=0, atol=0.01)


def test_reference_columns_err_alike_within_a_crossbar() -> None:
    chosen = AnalogSettings(reference_variation=True)
    chip = Chip(columns=8, device=Device(r_on_ohm=1e4, r_off_ohm=16e4, programming_sigma=0.1), analog=chosen)
    cells = encode(torch.zeros((1, 5000, 8), dtype=torch.int), chip.weight_code)
    error = programmed(cells, chip) - cells.nominal
    # 8 columns hold 4 weights of 2 slices, so outputs 0-3 share a reference column and 4-7 the next.
    correlation = torch.corrcoef(error[0, :, 1].T)
    assert (correlation[:4, :4] - 0.5).abs().fill_diagonal_(0).max() < 0.05
    assert correlation[:4, 4:].abs().max() < 0.05


def test_conductance_never_turns_negative() -> None:
    chosen = AnalogSettings(reference="off")
    chip = Chip(device=Device(programming_sigma=1.0), analog=chosen)
    cells = encode(torch.zeros((1, 1000, 8), dtype=torch.int), chip.weight_code)
    pedestal = 15 / (chip.device.on_off_ratio - 1)
    assert (programmed(cells, chip) + pedestal).min() >= -1e-6
