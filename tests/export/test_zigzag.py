"""The accelerator for ZigZag: read by ZigZag's own parser, with the design's energies and areas in it."""

from __future__ import annotations

import pytest
import yaml

from xpert.experiment import load_preset, typical_design
from xpert.export.zigzag import accelerator
from xpert.hardware import evaluate


def test_costs_are_the_designs() -> None:
    design = typical_design(load_preset("quickstart"))
    found, evaluation = yaml.safe_load(accelerator(design)), evaluate(design)
    array, memories = found["operational_array"], found["memories"]
    outputs, rows, crossbars = array["sizes"]
    assert (outputs, rows) == (design.chip.columns // design.chip.weight_code.columns_per_weight, design.chip.rows)
    in_tiles = design.chip.subarrays_per_pe * design.chip.pes_per_tile
    assert crossbars == in_tiles * int(evaluation.context.tiles[0])
    # All units together are the tiles; a unit's energy times the products is what tiles spend.
    tiles = float(evaluation.layers.area.total.sum()) * 1e6
    assert array["unit_area"] * outputs * rows * crossbars == pytest.approx(tiles)
    spent = array["unit_energy"] * design.network.macs * 1e-6
    buffers = float(evaluation.layers.energy.buffers.sum()) * 1e6
    assert spent + buffers == pytest.approx(float(evaluation.layers.energy.total.sum()) * 1e6)
    assert 0 < memories["global_buffer"]["area"] < float(evaluation.area) * 1e6
    buffer = memories["global_buffer"]
    assert buffer["size"] > 8 * 1024
    # Per bit an SRAM access of a few to a few hundred femtojoules.
    assert 1e-3 < buffer["r_cost"] / buffer["ports"][0]["bandwidth_max"] < 1


def test_zigzag_reads_it() -> None:
    factory = pytest.importorskip("zigzag.parser.accelerator_factory", reason="zigzag-dse is not installed")
    validator = pytest.importorskip("zigzag.parser.accelerator_validator")
    design = typical_design(load_preset("quickstart"))
    checked = validator.AcceleratorValidator(yaml.safe_load(accelerator(design)))
    assert checked.validate()
    made = factory.AcceleratorFactory(checked.normalized_data).create()
    array = yaml.safe_load(accelerator(design))["operational_array"]
    assert made.operational_array.total_area == pytest.approx(
        array["unit_area"] * array["sizes"][0] * array["sizes"][1] * array["sizes"][2]
    )
