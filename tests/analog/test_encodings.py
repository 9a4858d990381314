"""Every encoding keeps the same promises, to the simulation and to the cost model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from xpert.analog import IDEAL, analog_layers, to_analog
from xpert.analog.cells import encode
from xpert.analog.layout import Layout
from xpert.design import ENCODINGS, Chip, Design, Device, Layer, WeightCode
from xpert.design.encoding import Differential, Reference
from xpert.errors import ConfigError
from xpert.hardware.crossbar import crossbar_of
from xpert.hardware.evaluate import evaluate
from xpert.hardware.mapping import map_layers
from xpert.hardware.switches import PHYSICAL
from xpert.workload.layers import Workload

CODES = [
    pytest.param(encoding, reference, id=f"{name}, {reference}")
    for name in ENCODINGS.shipped()
    for encoding in [ENCODINGS.find(name)]
    for reference in (("middle",) if encoding.paired else ("middle", "off"))
]


@pytest.mark.parametrize(("encoding", "reference"), CODES)
@given(weight_bits=st.integers(2, 16), cell_bits=st.integers(1, 8), data=st.data())
def test_weights_come_back_from_their_cells(
    encoding: type[WeightCode], reference: Reference, weight_bits: int, cell_bits: int, data: st.DataObject
) -> None:
    code = encoding(weight_bits, min(cell_bits, weight_bits), reference)
    largest = 2 ** (weight_bits - 1) - 1
    weights = data.draw(st.lists(st.integers(-largest, largest), min_size=1, max_size=20))
    cells = encode(torch.tensor(weights).reshape(1, 1, -1), code)
    total = torch.einsum("grso,s->gro", cells.nominal, torch.tensor(code.significance).float()) + code.input_weight
    assert total.flatten().tolist() == weights
    assert len(code.slice_bits) == code.slices == len(code.significance) == cells.data.shape[2]
    for s, (size, (low, high)) in enumerate(zip(code.slice_bits, code.limits, strict=True)):
        for part in (cells.data, cells.reference):
            assert 0 <= part[:, :, s].min() <= part[:, :, s].max() < 2**size <= 2**cell_bits
        assert low <= cells.nominal[:, :, s].min() <= cells.nominal[:, :, s].max() <= high
    if code.paired:
        assert cells.reference.shape == cells.data.shape
        assert code.input_weight == 0
    else:
        assert cells.reference.flatten().tolist() == list(code.reference_codes)


@pytest.mark.parametrize(("encoding", "reference"), CODES)
def test_limits_are_reached(encoding: type[WeightCode], reference: Reference) -> None:
    code = encoding(8, 3, reference)
    nominal = encode(torch.arange(-127, 128).reshape(1, 1, -1), code).nominal
    found = tuple(zip(nominal.amin((0, 1, 3)).int().tolist(), nominal.amax((0, 1, 3)).int().tolist()))
    assert found == code.limits


@pytest.mark.parametrize(("encoding", "reference"), CODES)
def test_a_code_takes_numbers_and_arrays_as_well(encoding: type[WeightCode], reference: Reference) -> None:
    code = encoding(6, 4, reference)
    weights = np.arange(-31, 32)
    of_array = code.stored(weights)
    of_numbers = [code.stored(int(weight)) for weight in weights]
    for of_part, numbers in zip(of_array, zip(*of_numbers, strict=True), strict=True):
        if of_part is not None:
            assert of_part.tolist() == list(numbers)
            assert np.array(code.digits(of_part)).T.tolist() == [code.digits(number) for number in numbers]


@pytest.mark.parametrize("name", ENCODINGS.shipped())
@given(
    weight_bits=st.integers(2, 10),
    cell_bits=st.integers(1, 5),
    outputs=st.integers(1, 90),
    columns=st.sampled_from([20, 32, 64]),
)
def test_cost_model_and_simulation_count_the_same_columns(
    name: str, weight_bits: int, cell_bits: int, outputs: int, columns: int
) -> None:
    assume(cell_bits <= weight_bits)
    chip = Chip(weight_bits=weight_bits, device=Device(cell_bits=cell_bits), encoding=name, columns=columns)
    code, crossbar = chip.weight_code, crossbar_of(chip)
    assert (crossbar.slices, crossbar.columns_per_slice) == (code.slices, code.columns_per_slice)
    assert crossbar.columns_per_weight == code.columns_per_weight
    # One row of weights, in the columns that the simulation lays out; reference columns are extra there.
    cells = encode(torch.zeros((1, 1, outputs), dtype=torch.int), code)
    layout = Layout.of(outputs, chip)
    reference = cells.reference if code.paired else cells.reference.expand(1, 1, code.slices, layout.crossbars)
    laid_out = layout.arrange(cells.data, reference)
    extra = 0 if code.paired else code.slices
    assert laid_out.shape[3] - extra == layout.in_crossbar * code.columns_per_weight <= columns
    shape = {"in_channels": 4, "in_height": 1, "in_width": 1, "kernel_height": 1, "kernel_width": 1}
    layer = Layer(name="0", out_channels=outputs, **shape)  # pyright: ignore[reportArgumentType]
    mapping = map_layers(chip, Workload.from_layers([layer]), PHYSICAL)
    assert mapping.used_columns.tolist() == [outputs * code.columns_per_weight]


@pytest.mark.usefixtures("own_entries")
def test_an_entry_is_all_that_an_encoding_needs(
    model: nn.Module, design_of: Callable[..., Design], images: torch.Tensor
) -> None:
    class Wide(Differential):
        """Pairs with a slice more, which stays empty."""

        @property
        def code_bits(self) -> int:
            return self.weight_bits - 1 + self.cell_bits

    ENCODINGS.register(Wide, "wide")
    designs = [design_of(encoding=name) for name in ("differential", "wide")]
    analog = [to_analog(model, design, generator=None, settings=IDEAL) for design in designs]
    with torch.no_grad():
        assert torch.equal(*(network(images) for network in analog))
    assert [layer.conductance.shape[3] for network in analog for layer in analog_layers(network).values()] == [
        *4 * [2],
        *4 * [3],
    ]
    narrow, wide = (crossbar_of(design.chip).columns_per_weight for design in designs)
    assert (narrow, wide) == (4, 6)
    assert evaluate(designs[1]).area > evaluate(designs[0]).area
    with pytest.raises(ConfigError, match=r"^encoding: must be one of offset, differential, wide \(got 'other'\)$"):
        Chip.parse({"encoding": "other"})
