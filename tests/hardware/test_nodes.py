"""Nodes between the tabulated ones."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from importlib import resources
from itertools import pairwise

import pytest
import yaml

from xpert.design import Chip, Design, Device, Layer, Network, Periphery, Technology
from xpert.design.process import ProcessData
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.hardware.technology import Process, at_node, process_of

PLANAR, FINFET = (22, 32, 45, 65, 90, 130), (7, 10, 14)
CONSTANTS = [
    field.name
    for field in fields(Process)
    if field.type == "float" and field.name not in ("temperature", "logic_clock", "pn_ratio", "cell_height")
]


def chip_of(node: int, roadmap: str = "LSTP", **chip: object) -> Chip:
    return Chip.parse({"technology": {"node_nm": node, "roadmap": roadmap}, "rows": 64, "columns": 64, **chip})


def area_of(chip: Chip, adc_type: str = "sar") -> float:
    layer = Layer(name="l", kind="linear", in_channels=64, out_channels=32)
    network = Network(backbone="custom", input_shape=(64, 1, 1), layers=(layer,))
    result = evaluate(Design.homogeneous(network, chip, Periphery(adc_type=adc_type, adc_bits=4)))
    assert math.isfinite(result.energy)
    assert math.isfinite(result.latency)
    return float(result.area)


def test_tabulated_nodes_are_as_tabulated() -> None:
    text = resources.files("xpert.hardware").joinpath("data/transistors.json").read_text(encoding="utf-8")
    for entry in json.loads(text)["transistors"]:
        p = process_of(Technology(node_nm=entry["node_nm"], roadmap=entry["roadmap"]))
        assert p.vdd == entry["vdd_v"]
        assert p.ion_n == entry["on_current_n_a_per_m"][0]
        assert p.gm_current_p == entry["gm_current_p_a_per_m"]


@pytest.mark.parametrize("roadmap", ["LSTP", "HP"])
@pytest.mark.parametrize("family", [PLANAR, FINFET], ids=["planar", "finfet"])
def test_constants_lie_between_those_of_the_neighbours(family: tuple[int, ...], roadmap: str) -> None:
    for low, high in pairwise(family):
        ends = [process_of(Technology.parse({"node_nm": node, "roadmap": roadmap})) for node in (low, high)]
        between = [process_of(Technology.parse({"node_nm": node, "roadmap": roadmap})) for node in range(low, high + 1)]
        for name in CONSTANTS:
            values = [getattr(p, name) for p in between]
            assert (values[0], values[-1]) == tuple(getattr(p, name) for p in ends)
            if name != "wire_resistance":  # of three constants, whose product is a power only between the two nodes
                assert values in (sorted(values), sorted(values, reverse=True)), name


def test_the_rule_is_a_power_of_the_node() -> None:
    table = {10: 2.0, 40: 32.0}  # the node squared, over 50
    assert at_node(table, 10) == 2.0
    assert at_node(table, 20) == pytest.approx(8.0)
    assert at_node({10: (1.0, [4.0]), 40: (1.0, [2.0])}, 20) == pytest.approx((1.0, pytest.approx([math.sqrt(8)])))
    assert at_node({10: -1.0, 40: 3.0}, 20, linear=True) == pytest.approx(1.0)
    assert at_node({10: 0.0, 40: 0.0}, 20) == 0.0


def test_28_nm_is_the_part_that_was_interpolated_by_hand() -> None:
    text = resources.files("xpert.design").joinpath("parts/technologies/lstp-28nm.yaml").read_text(encoding="utf-8")
    given = yaml.safe_load(text)
    data = ProcessData.model_validate(given["process"])
    p = process_of(Technology(node_nm=28))
    assert p.vdd == pytest.approx(data.vdd_v, rel=1e-3)
    assert p.wire_resistivity == pytest.approx(data.wire_resistivity_ohm_m, rel=1e-3)
    assert p.gate_length == pytest.approx(data.gate_length_m, rel=1e-3)


@pytest.mark.parametrize("roadmap", ["LSTP", "HP"])
@pytest.mark.parametrize("adc_type", ["sar", "flash", "ramp"])
@pytest.mark.parametrize(
    ("low", "node", "high"), [(22, 28, 32), (32, 40, 45), (45, 55, 65), (90, 110, 130), (7, 9, 10)]
)
def test_chips_between_two_nodes(low: int, node: int, high: int, adc_type: str, roadmap: str) -> None:
    areas = [area_of(chip_of(each, roadmap), adc_type) for each in (low, node, high)]
    assert areas == sorted(areas)


def test_sram_and_its_buffers_between_nodes() -> None:
    sram = {
        "device": Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=60).model_dump(exclude_unset=True)
    }
    buffers = {"buffers": {"global_kind": "sram"}}
    areas = [area_of(chip_of(node, **sram, **buffers)) for node in (7, 8, 10, 12, 14, 22, 28)]
    assert areas == sorted(areas)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (6, "greater than or equal to 7"),
        (131, "less than or equal to 130"),
        (16, "must be 7 ... 14 or 22 ... 130, got 16"),
        (28.5, "valid integer"),
    ],
)
def test_nodes_that_are_refused(node: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Technology.parse({"node_nm": node})
