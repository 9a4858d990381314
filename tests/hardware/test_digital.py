"""The digital unit: what attention, norms and functions cost, and layers that are kept off the crossbars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xpert.design import Chip, Design, Layer, Network, Periphery, Work
from xpert.errors import ConfigError
from xpert.hardware import evaluate, evaluate_batch
from xpert.hardware.digital import build_unit
from xpert.hardware.subarray import PeripheryArrays
from xpert.hardware.switches import PHYSICAL
from xpert.hardware.technology import process_on
from xpert.search.tabulate import network_tables
from xpert.workload.layers import Workload, on_crossbars
from xpert.workload.trace import trace

PERIPHERY = Periphery(columns_per_adc=8)


def design_of(*layers: Layer, **chip: Any) -> Design:
    network = Network(backbone="custom", input_shape=(8, 8, 8), layers=layers)
    return Design.homogeneous(network, Chip.parse(chip), PERIPHERY)


def conv(name: str, *after: Work, **fields: Any) -> Layer:
    return Layer.parse({"name": name, "in_channels": 8, "out_channels": 8, "in_height": 8, "in_width": 8, **fields,
                        "after": after})  # fmt: skip


def work(kind: str, operations: int = 1 << 16) -> Work:
    return Work.parse({"kind": kind, "operations": operations, "reads": operations, "writes": operations // 2})


def test_the_unit_is_near_published_energies() -> None:
    # Horowitz, ISSCC 2014, figure 1.1.9: 0.2 pJ for an 8-bit multiplication and 0.1 pJ for a 32-bit sum at 45 nm and
    # 0.9 V, without the register.
    chip = Chip.parse({"technology": {"node_nm": 45, "roadmap": "HP"}})
    context = evaluate(design_of(conv("a"))).context
    unit = build_unit(process_on(chip, PHYSICAL), chip, context)
    assert 0.3e-12 < float(np.squeeze(unit.mac.energy)) < 0.9e-12


def test_work_is_paid_in_the_layer_that_it_follows() -> None:
    plain, busy = evaluate(design_of(conv("a"), conv("b"))), evaluate(design_of(conv("a"), conv("b", work("product"))))
    p = process_on(Chip(), PHYSICAL)
    unit = build_unit(p, Chip(), busy.context)
    lanes = float(np.squeeze(unit.lanes))
    assert lanes == float(np.squeeze(busy.context.bus_bits)) // 8
    more = np.subtract(busy.layers.energy.digital, plain.layers.energy.digital)
    assert more[0] == 0
    factor = p.calibration.post_layout_energy
    assert more[1] == pytest.approx(float(np.squeeze(unit.mac.energy)) * factor * (1 << 16))
    later = np.subtract(busy.layers.latency.digital, plain.layers.latency.digital)
    assert later[1] == pytest.approx(np.ceil((1 << 16) / lanes) * float(np.squeeze(unit.mac.cycles)) / p.logic_clock)
    assert np.subtract(busy.layers.energy.buffers, plain.layers.energy.buffers)[1] > 0
    lane = float(np.squeeze(unit.mac.area + unit.function.area))
    assert busy.area_by_component.digital - plain.area_by_component.digital == pytest.approx(lane * lanes)
    assert busy.shared_leakage > plain.shared_leakage
    assert busy.operations == plain.operations


@pytest.mark.parametrize(
    ("kind", "macs", "functions"),
    [
        ("product", 1, 0),
        ("softmax", 3, 1),
        ("norm", 4, 0),
        ("activation", 0, 1),
        ("elementwise", 1, 0),
        ("lookup", 0, 0),
    ],
)
def test_passes_of_each_kind(kind: str, macs: int, functions: int) -> None:
    layer = evaluate(design_of(conv("a", work(kind, 1000)))).to_dict()["layers"][0]
    assert (layer["digital_macs"], layer["digital_functions"]) == (1000 * macs, 1000 * functions)


def test_more_lanes_are_faster_and_larger() -> None:
    few, many = (evaluate(design_of(conv("a", work("softmax", 1 << 20)), digital_lanes=lanes)) for lanes in (16, 1024))
    assert few.latency_by_component.digital > 10 * many.latency_by_component.digital
    assert few.area_by_component.digital < many.area_by_component.digital


def test_a_digital_layer_takes_no_tiles_and_its_work_is_the_one_befores() -> None:
    deep = conv("deep", kernel_height=3, kernel_width=3, padding=1, groups=8, digital=True)
    design = design_of(conv("a"), deep, conv("b", relu=False))
    evaluation = evaluate(design)
    assert evaluation.layer_names == ("a", "b")
    assert [layer.name for layer in on_crossbars(design.network)] == ["a", "b"]
    own, off, _ = evaluation.to_dict()["layers"]
    assert (own["digital_macs"], own["breakdown"]["latency_us"]["digital"] > 0) == (0, True)  # its own ReLU
    assert (off["name"], off["digital"], off["tiles"], off["area_mm2"]) == ("deep", True, 0, 0)
    assert off["digital_macs"] == deep.macs + 8 * 64  # and the ReLU
    everywhere = evaluate(design_of(conv("a"), deep.replace(digital=False), conv("b", relu=False)))
    assert evaluation.context.tiles < everywhere.context.tiles
    with pytest.raises(ConfigError, match="all of them are digital"):
        evaluate(design_of(deep))
    by_name = design_of(conv("a"), deep.replace(digital=False), conv("b", relu=False)).network.with_digital("d?e*")
    assert by_name == design.network
    with pytest.raises(ConfigError, match=r"digital: no layer is called 'head'; there are a, deep, b$"):
        design.network.with_digital("head")
    many = Network(backbone="custom", layers=[conv(f"c{number}") for number in range(40)])
    with pytest.raises(ConfigError, match=r", c28, c29, and 10 more$"):
        many.with_digital("head")


@pytest.mark.parametrize("execution", ["layer_by_layer", "pipelined"])
def test_rows_of_digital_layers_are_taken_out_of_those_before(execution: str) -> None:
    """Rows are in the network's order, none is below zero, and they and what is shared add up to the chip's figures."""
    chip = {"execution": execution} | ({"pipeline_speed_up": 1} if execution == "pipelined" else {})
    first, odd, later = (conv(name, digital=True) for name in ("first", "odd", "later"))
    tiny = conv("tiny", in_height=1, in_width=1, digital=True)  # less than a turn of all lanes
    design = design_of(first, conv("a", work("softmax")), odd, tiny, conv("b"), later, **chip)
    evaluation = evaluate(design)
    rows = evaluation.to_dict()["layers"]
    assert [row["name"] for row in rows] == ["first", "a", "odd", "tiny", "b", "later"]
    assert [row.get("digital", False) for row in rows] == [True, False, True, True, False, True]
    for quantity in ("latency_us", "energy_uj", "area_mm2"):
        for row in rows:
            assert row[quantity] >= 0
            assert min(row["breakdown"][quantity].values()) >= -1e-12 * row[quantity]
            assert row[quantity] == pytest.approx(sum(row["breakdown"][quantity].values()))
        layers = getattr(evaluation.layers, quantity.partition("_")[0])
        total = np.broadcast_to(layers.total, 2).sum() * 1e6
        assert sum(row[quantity] for row in rows) == pytest.approx(total)
    # Alike layers cost alike, wherever they are; the small one a 64th of the products' time.
    assert rows[0]["energy_uj"] == pytest.approx(rows[2]["energy_uj"]) == pytest.approx(rows[5]["energy_uj"])
    parts = [row["breakdown"]["latency_us"]["digital"] for row in rows]
    assert parts[3] == pytest.approx(parts[2] / 64)
    assert rows[1]["digital_functions"] == 1 << 16
    # A chip without it is cheaper by about its row.
    without = evaluate(design_of(first, conv("a", work("softmax")), odd, tiny, conv("b"), **chip))
    assert evaluation.dynamic_energy - without.dynamic_energy == pytest.approx(
        (rows[5]["energy_uj"] - rows[5]["leakage_energy_uj"]) * 1e-6
    )


def test_a_batch_of_networks_with_and_without_digital_work_equals_the_designs() -> None:
    designs = [
        design_of(conv("a"), conv("b")),
        design_of(conv("a", work("softmax")), conv("b", work("product"))),
        design_of(conv("a"), conv("c", digital=True), conv("b")),
    ]
    arrays = PeripheryArrays.of([PERIPHERY] * 2)
    batch = evaluate_batch(Chip(), Workload.stack([Workload.from_network(one.network) for one in designs]), arrays)
    for index, design in enumerate(designs):
        alone = evaluate(design)
        for quantity in ("area", "latency", "energy", "leakage_power"):
            assert getattr(batch, quantity)[index] == getattr(alone, quantity), quantity


def test_tables_add_up_to_the_evaluation() -> None:
    design = design_of(conv("a", work("activation")), conv("deep", digital=True), conv("b", work("product")))
    evaluation = evaluate(design)
    tables, constants = network_tables(design, [[PERIPHERY]] * 3)
    assert sum(float(column[0]) for column in tables["latency"]) == pytest.approx(float(evaluation.latency) * 1e6)
    assert sum(float(column[0]) for column in tables["energy"]) == pytest.approx(float(evaluation.energy) * 1e6)
    area = sum(float(column[0]) for column in tables["area"]) + constants["area"]
    assert area == pytest.approx(float(evaluation.area) * 1e6)
    assert tables["area"][1].tolist() == [0.0]


def test_an_encoder_is_priced_whole() -> None:
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
    layers = trace(encoder, (9, 16))
    evaluation = evaluate(
        Design.homogeneous(Network(backbone="custom", input_shape=(9, 16), layers=layers), Chip(), PERIPHERY)
    )
    workload = Workload.from_layers(layers).digital
    assert workload is not None
    # Two products and a softmax of 2 heads, two norms, and GELU at 32 features.
    assert workload.macs.sum() >= 2 * 9 * 9 * 16 + 3 * 2 * 81 + 2 * 4 * 9 * 16
    assert workload.functions.sum() == 2 * 81 + 9 * 32
    assert evaluation.breakdown["energy"]["digital"] > 0
    with torch.no_grad():
        assert sum(layer.macs for layer in layers) == 9 * (4 * 16 * 16 + 2 * 16 * 32)


def test_a_chip_without_digital_work_has_no_unit() -> None:
    assert Workload.from_layers([conv("a")]).digital is None
    assert "digital_macs" not in evaluate(design_of(conv("a"))).to_dict()["layers"][0]
