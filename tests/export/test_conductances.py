"""Conductances of one virtual chip: the cells that the simulation computes with, each at its place."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xpert.analog import analog_layers, reprogram, to_analog
from xpert.analog.cell_states import level_siemens
from xpert.analog.draws import chip_generator
from xpert.design import Chip, Design, Network, Periphery
from xpert.export.conductances import crossbars_of, write_conductances
from xpert.networks.quantised import quantise
from xpert.workload.trace import trace

SHAPE = (3, 8, 8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(216, 5),
    ).eval()


def design_of(model: nn.Module, **chip: Any) -> Design:
    fields = {"rows": 16, "columns": 16, "analog": {"adc_range": "full_scale"}} | chip
    layers = Network(backbone="custom", input_shape=SHAPE, num_classes=5, layers=trace(model, SHAPE))
    return Design.homogeneous(layers, Chip.parse(fields), Periphery(columns_per_adc=4))


CHIPS: dict[str, dict[str, Any]] = {
    "offset": {},
    "two bits a cell": {"device": {"cell_bits": 2, "programming_sigma": 0.1}},
    "pairs": {"encoding": "differential"},
    "pixel by pixel": {"mapping": "novel"},
}


@pytest.mark.parametrize("fields", CHIPS.values(), ids=CHIPS)
def test_cells_are_those_that_the_simulation_computes_with(fields: dict[str, Any]) -> None:
    """Columns less their references, put back in the layer's order, are what the layers of the same chip conduct."""
    model = network()
    images = torch.rand(4, *SHAPE)
    design = design_of(model, **fields)
    quantised = quantise(model, images, weight_bits=design.chip.weight_bits)
    analog = to_analog(quantised, design, generator=None, calibration=images)
    names = [layer.name for layer in design.network.layers]
    reprogram(analog, chip_generator(3, 2), names)
    level = level_siemens(design.chip.device)
    found = list(crossbars_of(quantised, design, seed=3, chip=2))
    assert [one.layer for one in found] == names
    for one in found:
        layer = analog_layers(analog)[one.layer]
        expected = layer.conductance[0].numpy() * level  # [groups, rows, slices, outputs]
        seen = np.zeros(expected.shape, int)
        for crossbar, column in np.argwhere(one.column_kind == 1).tolist():
            output, of_slice = one.column_output[crossbar, column], one.column_slice[crossbar, column]
            pairs = one.column_output[crossbar].max() >= 0 and design.chip.weight_code.paired
            subtracted = np.flatnonzero(
                (one.column_kind[crossbar] == 2)
                & (one.column_slice[crossbar] == of_slice)
                & (one.column_output[crossbar] == (output if pairs else -1))
            )
            assert len(subtracted) == 1
            for block, (start, stop) in enumerate(one.block_rows):
                cells = one.simulated[block, :, crossbar, : stop - start]
                difference = cells[:, :, column] - cells[:, :, subtracted[0]]
                assert difference == pytest.approx(expected[:, start:stop, of_slice, output], rel=1e-5, abs=1e-12)
                seen[:, start:stop, of_slice, output] += 1
        assert (seen == 1).all()
        # What is written is near what was wanted, and there is nothing where no weight is.
        assert np.isnan(one.target).sum() == np.isnan(one.simulated).sum()
        assert np.nanmax(np.abs(one.simulated - one.target)) < 0.9 / design.chip.device.r_on_ohm
        assert np.nanmin(one.target) == pytest.approx(1 / design.chip.device.r_off_ohm, rel=1e-6)
        assert np.nanmax(one.target) <= 1 / design.chip.device.r_on_ohm * (1 + 1e-9)


def test_targets_hold_the_weights() -> None:
    """Slices of a column, weighed and less the middle, are the integer weights."""
    model = network()
    design = design_of(model)
    quantised = quantise(model, torch.rand(4, *SHAPE), weight_bits=8)
    one = next(crossbars_of(quantised, design))
    codes = np.rint((one.target - 1 / design.chip.device.r_off_ohm) / level_siemens(design.chip.device))
    weights = quantised[0].integer_weight().value.permute(0, 2, 3, 1).flatten(1).T  # pyright: ignore[reportIndexIssue, reportCallIssue]
    for output in range(6):
        crossbar = np.argwhere((one.column_kind == 1) & (one.column_output == output))[0, 0]
        columns = np.flatnonzero((one.column_kind[crossbar] == 1) & (one.column_output[crossbar] == output))
        slices = one.column_slice[crossbar, columns]
        for block, (start, stop) in enumerate(one.block_rows):
            cells = codes[block, 0, crossbar, : stop - start][:, columns]
            held = cells @ (2.0 ** (slices * design.chip.device.cell_bits))
            assert (held - weights[start:stop, output].numpy()).tolist() == [128] * (stop - start)


def test_files_hold_the_same(tmp_path: Path) -> None:
    model = network()
    design = design_of(model).replace(network=design_of(model).network.with_digital("0"))
    quantised = quantise(model, torch.rand(4, *SHAPE), weight_bits=8)
    listed = json.loads(write_conductances(tmp_path / "chip", quantised, design, seed=1).read_text())
    assert [entry["layer"] for entry in listed["layers"]] == ["2", "5"]
    assert listed["g_on_us"] == pytest.approx(1e6 / design.chip.device.r_on_ohm)
    for entry, one in zip(listed["layers"], crossbars_of(quantised, design, seed=1), strict=True):
        with np.load(tmp_path / "chip" / entry["npz"], allow_pickle=False) as arrays:
            assert arrays["simulated_us"] == pytest.approx(one.simulated * 1e6, nan_ok=True)
            assert np.array_equal(arrays["column_kind"], one.column_kind)
            assert list(arrays["target_us"].shape) == entry["shape"]
            simulated = arrays["simulated_us"]
        with (tmp_path / "chip" / entry["csv"]).open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == np.isfinite(simulated).sum()
        for row in rows[:: max(1, len(rows) // 50)]:
            place = tuple(int(row[name]) for name in listed["axes"])
            assert float(row["simulated_us"]) == pytest.approx(simulated[place], rel=1e-8)
            assert int(row["output"]) == one.column_output[place[2], place[4]]
            assert row["kind"] == ("", "data", "reference")[one.column_kind[place[2], place[4]]]
