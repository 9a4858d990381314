"""Whole chips: against the reference, sums, batches, and what must hold for any design."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Activity, AnalogSettings, Buffers, Chip, Design, Device, Layer, Network, Periphery, Technology
from xpert.errors import ConfigError
from xpert.hardware import PHYSICAL, REFERENCE, Evaluation, PeripheryArrays, Switches, evaluate, evaluate_batch
from xpert.hardware.breakdown import COMPONENTS
from xpert.workload.layers import Workload

AUTO = {"subarrays_per_pe": None, "pes_per_tile": None}
SRAM = Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28)
CHIPS = {
    "default": Chip(),
    "one clock": Chip(clock="chip"),
    "asynchronous": Chip(synchronous=False),
    "sram": Chip(device=SRAM, buffers=Buffers(global_kind="sram", tile_core_bits=32)),
    "fefet": Chip(device=Device(cell="fefet"), technology=Technology(node_nm=7)),
    "crosspoint": Chip(device=Device(access="crosspoint", cell_height_f=2, cell_width_f=2), **AUTO),
    "novel": Chip(mapping="novel", buffers=Buffers(tile_core_bits=32), **AUTO),
    "novel, fixed tiles": Chip(mapping="novel"),
    "pipelined": Chip(execution="pipelined", pipeline_speed_up=4),
    "oblong": Chip(rows=128, columns=32, **AUTO),
}
PERIPHERIES = st.builds(
    Periphery,
    adc_type=st.sampled_from(["sar", "flash"]),
    columns_per_adc=st.sampled_from([1, 3, 8, 32]),
    adc_bits=st.integers(3, 8),
    input_bits=st.integers(1, 8),
)


def figures(design: Design, switches: Switches = PHYSICAL) -> dict[str, float]:
    result = evaluate(design, switches)
    names = ("area", "latency", "energy", "leakage_energy", "leakage_power", "edap", "tops_per_watt", "tops_per_mm2")
    return {name: float(getattr(result, name)) for name in names}


# Against the reference


def reference_design(inputs, vgg16) -> tuple[Design, Switches]:
    """The design that a VGG16 row describes, in the words of a user."""
    chip = Chip(
        technology=Technology(node_nm=inputs["technology_node_nm"], roadmap=inputs["device_roadmap"]),
        device=Device(
            cell_bits=inputs["cell_bits"],
            r_on_ohm=inputs["on_resistance_ohm"],
            r_off_ohm=inputs["off_resistance_ohm"],
            read_voltage_v=inputs["read_voltage_V"],
            write_voltage_v=inputs["write_voltage_V"],
        ),
        rows=inputs["rows"],
        columns=inputs["columns"],
        weight_bits=inputs["weight_bits"],
        buffers=Buffers(
            tile_core_bits=round(inputs["tile_buffer_core_bits"] ** 0.5),
            max_bus_bits=inputs["max_global_bus_width_bits"],
        ),
        activity=Activity(
            input_bit_density=inputs["input_bit_density"], cell_conductance_s=inputs["effective_cell_conductance_S"]
        ),
        synchronous=inputs["synchronous"],
        clock="chip",
        **AUTO,
    )
    periphery = Periphery(
        adc_type=inputs["adc_type"],
        columns_per_adc=inputs["columns_per_adc"],
        adc_bits=inputs["adc_levels"].bit_length() - 1,
        input_bits=inputs["input_bits"],
    )
    return Design.homogeneous(vgg16, chip, periphery), REFERENCE


def test_a_homogeneous_design_is_the_homogeneous_chip_of_the_reference(reference_rows, vgg16):
    plain = {
        "network": "vgg16", "device": "RRAM_1T1R", "calibrated": True, "novel_mapping": False, "pipelined": False,
        "global_buffer_sram": False,
    }  # fmt: skip
    rows = [
        row
        for row in reference_rows("chip")
        if all(row["inputs"][key] == value for key, value in plain.items())
        and row["inputs"]["flash_sensing"] != "voltage"
    ]
    assert len(rows) > 20
    for row in rows:
        outputs = row["outputs"]
        result = evaluate(*reference_design(row["inputs"], vgg16))
        pairs = {
            "chip_area_m2": result.area,
            "chip_latency_s": result.latency,
            "chip_dynamic_energy_J": result.dynamic_energy,
            "chip_leakage_energy_J": result.leakage_energy,
            "energy_efficiency_TOPS_per_W": result.tops_per_watt,
            "compute_density_TOPS_per_mm2": result.tops_per_mm2,
            "chip_area_adc_m2": result.breakdown["area"]["adc"],
            "chip_accumulation_energy_J": result.breakdown["energy"]["accumulation"],
            "layer_latency_s": result.layers.latency.total,
            "num_tiles": result.context.tiles[0],
        }
        for name, got in pairs.items():
            assert got == pytest.approx(outputs[name], rel=1e-9), (row["id"], name)


# One design


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("switches", [PHYSICAL, REFERENCE], ids=["physical", "reference"])
def test_parts_make_the_whole(name, switches, small):
    chip = CHIPS[name]
    periphery = [
        Periphery(adc_type="flash", columns_per_adc=4),
        Periphery(adc_bits=4, input_bits=1),
        Periphery(columns_per_adc=16),
        Periphery(adc_type="flash", adc_bits=8, columns_per_adc=32),
    ]
    result = evaluate(Design(chip=chip, network=small, periphery=tuple(periphery)), switches)
    data = result.to_dict()
    for unit in ("area_mm2", "latency_us", "energy_uj"):
        assert set(data["breakdown"][unit]) == set(COMPONENTS)
        assert sum(data["breakdown"][unit].values()) == pytest.approx(data[unit], rel=1e-12)
        for layer in data["layers"]:
            assert sum(layer["breakdown"][unit].values()) == pytest.approx(layer[unit], rel=1e-12)
            assert all(value >= 0 for value in layer["breakdown"][unit].values())
    energy = sum(layer["energy_uj"] for layer in data["layers"])
    latency = [layer["latency_us"] for layer in data["layers"]]
    if chip.execution == "pipelined":
        assert data["latency_us"] == pytest.approx(max(latency))
        assert data["energy_uj"] > 0.999999 * energy  # and what shared blocks leak
    else:
        assert data["latency_us"] == pytest.approx(sum(latency))
        assert data["energy_uj"] == pytest.approx(energy)
    assert data["area_mm2"] > sum(layer["area_mm2"] for layer in data["layers"])
    assert data["edap"] == pytest.approx(data["energy_uj"] * data["latency_us"] * data["area_mm2"])
    assert data["leakage_energy_uj"] == data["breakdown"]["energy_uj"]["leakage"]
    assert result.dynamic_energy + result.leakage_energy == pytest.approx(float(result.energy))
    assert [layer["adc_bits"] for layer in data["layers"]] == [6, 4, 6, 8]
    assert [layer["name"] for layer in data["layers"]] == [layer.name for layer in small.layers]
    json.dumps(data, allow_nan=False)


def test_figures_of_merit_by_hand(small):
    result = evaluate(Design.homogeneous(small, Chip(), Periphery()))
    operations = 2 * small.macs
    assert result.operations == operations
    assert result.tops_per_watt == pytest.approx(operations / float(result.energy) * 1e-12)
    assert result.tops_per_mm2 == pytest.approx(operations / float(result.latency) / float(result.area) * 1e-18)
    # The whole chip leaks during the whole inference.
    assert result.leakage_energy == pytest.approx(float(result.leakage_power * result.latency))


def test_silicon_calibration_is_in_the_energy_or_in_the_efficiency(small):
    design = Design.homogeneous(small, Chip(), Periphery())
    physical, reference = evaluate(design), evaluate(design, replace(PHYSICAL, post_layout_energy=False))
    assert physical.dynamic_energy == pytest.approx(1.22 * float(reference.dynamic_energy))
    ratio = float(reference.operations / reference.energy) * 1e-12 / float(reference.tops_per_watt)
    assert ratio == pytest.approx(1.22)


@pytest.mark.parametrize("name", ["default", "asynchronous", "novel", "sram"])
def test_identical_layers_cost_the_same_where_nothing_else_differs(name, conv):
    network = Network(backbone="custom", layers=(conv("a", (64, 64), 8), conv("b", (64, 64), 8)))
    result = evaluate(Design.homogeneous(network, CHIPS[name], Periphery()))
    for parts in (result.layers.area, result.layers.latency, result.layers.energy):
        total = np.broadcast_to(parts.total, 2)
        assert total[0] == total[1]


def test_a_layer_has_a_periphery_of_its_own(small):
    base = [Periphery()] * 4
    changed = [*base[:1], Periphery(adc_type="flash", columns_per_adc=4), *base[2:]]
    before, after = (evaluate(Design(network=small, periphery=tuple(p))) for p in (base, changed))
    # Of the tiles; the larger ones take another slot, and so leave others' white space.
    area = np.array([found.layers.area.total - found.layers.area.white_space for found in (before, after)])
    assert area[0, 1] < area[1, 1]
    assert np.delete(area[0], 1) == pytest.approx(np.delete(area[1], 1), rel=1e-12)
    assert after.sensing_period[1] < before.sensing_period[1]
    assert np.array_equal(np.delete(before.sensing_period, 1), np.delete(after.sensing_period, 1))


def test_one_clock_is_that_of_the_slowest_layer(small):
    periphery = tuple(Periphery(adc_bits=bits) for bits in (4, 5, 8, 6))
    own, common = (
        evaluate(Design(chip=Chip(clock=clock), network=small, periphery=periphery)) for clock in ("layer", "chip")
    )
    ratio = common.layers.latency.adc / own.layers.latency.adc
    assert ratio == pytest.approx(own.sensing_period.max() / own.sensing_period)
    assert common.latency > own.latency
    assert common.area == own.area


def test_a_residual_add_and_a_ReLU_are_paid_for(conv):
    # Maps so large that the buffer's cores fill the bus: else the cores for the skip would make the buffer faster.
    def cost(**more):
        network = Network(backbone="custom", layers=(conv("a", (64, 64), 32, **more), conv("b", (64, 64), 32)))
        return evaluate(Design.homogeneous(network, Chip(), Periphery()))

    plain, added, linear = cost(), cost(residual=True), cost(relu=False)
    assert added.breakdown["area"]["digital"] > plain.breakdown["area"]["digital"]
    for quantity in ("latency", "energy"):
        for component in ("digital", "buffers", "interconnect"):
            assert added.breakdown[quantity][component] > plain.breakdown[quantity][component]
        assert linear.breakdown[quantity]["digital"] < plain.breakdown[quantity]["digital"]


def test_depthwise_layers_pay_for_crossbars_of_their_own(conv):
    def cost(groups):
        network = Network(backbone="custom", layers=(conv("a", (128, 128), 8, groups=groups),))
        return evaluate(Design.homogeneous(network, Chip(), Periphery()))

    dense, grouped, depthwise = cost(1), cost(4), cost(128)
    assert dense.operations > grouped.operations > depthwise.operations
    assert depthwise.tiles[0] > dense.tiles[0]
    assert depthwise.tops_per_watt < dense.tops_per_watt
    assert all(np.isfinite(float(x)) for x in (depthwise.area, depthwise.latency, depthwise.energy))


def paired(cell_bits: int = 4, **changes) -> Chip:
    return Chip(device=Device(cell_bits=cell_bits), encoding="differential", **changes)


def test_differential_pairs_take_twice_the_columns_and_the_same_conversions(conv):
    """On one layer whose columns fill their crossbars; pairs of 128 columns share ADCs as 64 columns do."""
    network = Network(backbone="custom", layers=(conv("a", (64, 256), 8),))
    fixed = {"subarrays_per_pe": 4, "pes_per_tile": 4}
    single, pairs, wide = (
        evaluate(Design.homogeneous(network, chip, Periphery(columns_per_adc=8)))
        for chip in (Chip(**fixed), paired(**fixed), paired(columns=128, **fixed))
    )
    assert pairs.tiles[0] == 2 * single.tiles[0]
    assert wide.tiles[0] == single.tiles[0]
    # The reference columns, 2 of 66, and the circuits that subtract them are gone.
    reference = {"energy": {"array": 0.8, "adc": 0.75}, "area": {"array": 64 / 66, "adc": 1.0}}
    for quantity, parts in reference.items():
        for name, left in parts.items():
            ratio = float(pairs.breakdown[quantity][name] / single.breakdown[quantity][name])
            whole = 2.0 if name == "array" else 1.0
            # Each subarray has references for its ADCs, and pairs take twice as many subarrays.
            most = 1.12 if (quantity, name) == ("area", "adc") else 1.0
            assert left * whole <= ratio * (1 + 1e-9) <= most * whole * (1 + 1e-6), (quantity, name, ratio)
    assert pairs.energy > single.energy


def test_the_sign_of_a_differential_weight_takes_no_cell():
    codes = [chip.weight_code for chip in (Chip(), paired(), paired(1), paired(7))]
    assert [(code.slices, code.columns_per_weight) for code in codes] == [(2, 2), (2, 4), (7, 14), (1, 2)]
    with pytest.raises(ConfigError, match="a weight takes 14 columns, but the crossbar has 8"):
        Chip.parse({"columns": 8, "device": {"cell_bits": 1}, "encoding": "differential"})


def test_sharing_below_the_slices_of_a_weight_is_not_free(vgg16):
    """The reference's integer division makes accumulation free there; a search would live on it."""
    chip = Chip(device=Device(cell_bits=1))

    def accumulation(sharing, switches):
        result = evaluate(Design.homogeneous(vgg16, chip, Periphery(columns_per_adc=sharing)), switches)
        return float(result.breakdown["energy"]["accumulation"])

    costs = [accumulation(sharing, PHYSICAL) for sharing in (1, 2, 4, 8)]
    assert max(costs) / min(costs) < 1.05
    assert accumulation(4, REFERENCE) < 0.9 * accumulation(8, REFERENCE)


def test_a_cell_that_cannot_hold_its_transistor_is_refused(small):
    design = Design.homogeneous(small, Chip(device=Device(r_on_ohm=500, r_off_ohm=5000)), Periphery())
    with pytest.raises(ConfigError, match=r"chip\.device\.cell_width_f"):
        evaluate(design)


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 600), min_size=3, max_size=3),
    more=st.integers(1, 300),
    position=st.integers(0, 2),
    entry=PERIPHERIES,
)
def test_wider_layers_cost_more(widths, more, position, entry):
    def cost(channels):
        layers = tuple(
            Layer(
                name=str(k), in_channels=pair[0], out_channels=pair[1], in_height=8, in_width=8, kernel_height=3,
                kernel_width=3, padding=1,
            )
            for k, pair in enumerate(zip((3, *channels), channels))
        )  # fmt: skip
        return evaluate(Design.homogeneous(Network(backbone="custom", layers=layers), Chip(), entry))

    wider = [*widths]
    wider[position] += more
    before, after = cost(widths), cost(wider)
    assert np.all(after.tiles >= before.tiles)
    assert after.area >= before.area
    # Time and energy may fall by a whisker only where a fuller tile visits fewer idle copies; never by more.
    assert after.dynamic_energy > 0.98 * before.dynamic_energy
    assert after.operations > before.operations


# Batches


@settings(max_examples=20)
@given(data=st.data(), name=st.sampled_from(sorted(CHIPS)), switches=st.sampled_from([PHYSICAL, REFERENCE]))
def test_a_batch_equals_a_loop_bit_for_bit(data, name, switches, small):
    n = data.draw(st.integers(1, 5))
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    out = generator.integers(1, 300, (n, 4))
    work = Workload.from_network(small).with_channels(np.concatenate([np.full((n, 1), 3), out[:, :-1]], axis=1), out)
    shape = (n, 4)
    periphery = PeripheryArrays.given(
        adc_type=generator.integers(0, 2, shape),
        columns_per_adc=generator.choice([1.0, 2.0, 5.0, 8.0, 32.0], shape),
        adc_bits=generator.integers(3, 9, shape).astype(float),
        input_bits=generator.integers(1, 9, shape).astype(float),
    )
    together = evaluate_batch(CHIPS[name], work, periphery, switches)
    for k in range(n):
        alone = evaluate_batch(CHIPS[name], work[k], periphery[k], switches)
        for quantity in ("area", "latency", "energy", "leakage_power", "edap", "tops_per_watt", "clock_period"):
            assert getattr(alone, quantity) == getattr(together, quantity)[k], quantity
        for quantity in ("area", "latency", "energy"):
            one = np.broadcast_to(getattr(alone.layers, quantity).total, 4)
            many = np.broadcast_to(getattr(together.layers, quantity).total, shape)[k]
            assert np.array_equal(one, many)


def test_large_batches_come_in_blocks(small, monkeypatch):
    blocks = sys.modules["xpert.hardware.evaluate"]  # the package's attribute of that name is the function
    work = Workload.from_network(small)
    sharing = np.tile([[1.0], [8.0], [64.0]], (4, 4)).reshape(2, 6, 4)
    periphery = PeripheryArrays.given(columns_per_adc=sharing)
    whole = evaluate_batch(Chip(), work, periphery)
    monkeypatch.setattr(blocks, "_BLOCK", 5)
    parts = evaluate_batch(Chip(), work, periphery)
    assert parts.area.shape == (2, 6)
    assert np.array_equal(parts.energy, whole.energy)
    assert parts.layers.leakage.shape == (2, 6, 4)
    with pytest.raises(ValueError, match="a batch of shape"):
        parts.to_dict()


def test_a_design_is_a_batch_of_one(small):
    design = Design.homogeneous(small, Chip(), Periphery(adc_type="flash"))
    batch = evaluate_batch(design.chip, Workload.from_network(small), PeripheryArrays.of(design.periphery))
    assert batch.to_dict()["edap"] == evaluate(design).to_dict()["edap"]


# Switches


SWITCHED = {
    "plain": (Chip(), Periphery()),
    "130 nm": (Chip(technology=Technology(node_nm=130)), Periphery()),
    "norms": (Chip(analog=AnalogSettings(adaptive_batch_norm=True)), Periphery()),
    "flash at 7 nm": (Chip(technology=Technology(node_nm=7)), Periphery(adc_type="flash")),
    "odd sharing": (Chip(device=Device(cell_bits=2)), Periphery(columns_per_adc=3)),
    "sram": (CHIPS["sram"], Periphery()),
    "novel": (CHIPS["novel"], Periphery()),
    "pipelined": (
        Chip(execution="pipelined", pipeline_speed_up=8, device=Device(cell_bits=2), **AUTO),
        Periphery(columns_per_adc=16),
    ),
    "narrow": (Chip(columns=8, rows=8), Periphery()),
    "crosspoint": (CHIPS["crosspoint"], Periphery()),
    "low write voltage": (Chip(device=Device(write_voltage_v=1.2), **AUTO), Periphery()),
    "large tiles": (Chip(pes_per_tile=64, buffers=Buffers(tile_core_bits=32)), Periphery()),
    "plateau": (
        Chip(
            technology=Technology(node_nm=130),
            device=Device(r_on_ohm=1e6, r_off_ohm=1e7),
            activity=Activity(input_bit_density=1),
        ),
        Periphery(adc_type="flash"),
    ),
}


def test_every_switch_does_something(conv):
    network = Network(
        backbone="custom",
        layers=(
            conv("a", (3, 32), 32),
            conv("b", (32, 32), 32, pool=2),
            conv("c", (32, 100), 16, pool=2),
            conv("d", (100, 400), 8, pool=3, stride=3),
            Layer(name="e", kind="linear", in_channels=400, out_channels=10, relu=False),
        ),
    )
    dead = {field.name for field in fields(Switches)}
    for chip, periphery in SWITCHED.values():
        design = Design.homogeneous(network, chip, periphery)
        for base in (PHYSICAL, REFERENCE):
            usual = figures(design, base)
            for name in sorted(dead):
                other = figures(design, replace(base, **{name: not getattr(base, name)}))
                assert all(np.isfinite(value) and value > 0 for value in other.values())
                if other != usual:
                    dead.discard(name)
    assert not dead
    assert all(getattr(PHYSICAL, field.name) is not getattr(REFERENCE, field.name) for field in fields(Switches))


def with_copies(network: Network, copies: int | None, **chip: Any) -> Evaluation:
    return evaluate(Design.homogeneous(network, Chip(**chip), Periphery(copies=copies)))


@given(copies=st.sampled_from([1, 2, 3, 8, 20, 100]), pipelined=st.booleans(), novel=st.booleans())
def test_more_copies_are_faster_and_larger(small, copies, pipelined, novel):
    chip = {"execution": "pipelined", "pipeline_speed_up": 4} if pipelined else {}
    chip |= {"mapping": "novel", "subarrays_per_pe": None, "pes_per_tile": None} if novel else {}
    fewer, more = (with_copies(small, count, **chip) for count in (copies, 2 * copies))
    assert np.all(more.layers.latency.adc <= fewer.layers.latency.adc * (1 + 1e-12))
    assert np.all(more.tiles >= fewer.tiles)
    if more.tiles.tolist() == fewer.tiles.tolist():  # else the H-tree is longer
        assert np.all(more.layers.latency.total <= fewer.layers.latency.total * (1 + 1e-12))
    assert more.speed_up.tolist() == [min(2 * copies, n) for n in (256, 256, 64, 1)]


def test_chosen_copies_share_the_positions_of_a_map(small):
    """Conversions take a turn for each position of the busiest copy, buffers of tiles their share; energy the same."""
    one, two, most = (with_copies(small, count) for count in (1, 2, 4096))
    for name in ("adc", "other"):
        first = getattr(one.layers.latency, name)
        assert np.allclose(getattr(two.layers.latency, name)[:3], first[:3] / 2)
        assert np.allclose(getattr(most.layers.latency, name)[:3], np.array(first)[:3] / [256, 256, 64])
        assert getattr(most.layers.latency, name)[3] == first[3], "a single position"
    assert most.speed_up.tolist() == [256, 256, 64, 1]
    third = np.array([getattr(one.layers.latency, name)[2] for name in ("buffers", "interconnect")])
    spread = np.array([getattr(most.layers.latency, name)[2] for name in ("buffers", "interconnect")])
    assert np.all(spread < third), "64 copies of its tiles have 64 times the buffers and H-trees"
    for name in ("array", "adc", "accumulation", "buffers", "digital", "other"):  # but for longer wires
        assert np.allclose(getattr(two.layers.energy, name), getattr(one.layers.energy, name), rtol=1e-12)
    assert most.tiles[2] == 64 * one.tiles[2]


def test_as_many_copies_as_the_rule_has_are_the_rule(small):
    """Where the rule's copies divide the positions and lie in one tile each, choosing them changes nothing."""
    ruled = with_copies(small, None)
    periphery = tuple(Periphery(copies=int(count)) for count in ruled.speed_up)
    chosen = evaluate(Design(network=small, periphery=periphery))
    assert ruled.tiles.tolist() == chosen.tiles.tolist()
    assert np.allclose(ruled.layers.latency.total[:3], chosen.layers.latency.total[:3], rtol=1e-12)
    assert np.allclose(ruled.layers.area.total, chosen.layers.area.total, rtol=1e-12)


# Precisions of weights and cells


@pytest.mark.parametrize("switches", [PHYSICAL, REFERENCE], ids=["physical", "reference"])
@pytest.mark.parametrize("name", ["default", "one clock", "novel", "pipelined"])
def test_the_same_bits_in_all_layers_are_a_chip_of_these_bits(small, name, switches):
    chip = CHIPS[name]
    for weight_bits, cell_bits in [(4, 4), (8, 1), (5, 2), (6, None)]:
        layers = Periphery(weight_bits=weight_bits, cell_bits=cell_bits)
        found = Design.homogeneous(small, chip, layers)
        expected = Design.homogeneous(small, chip.of_layer(weight_bits, cell_bits), Periphery())
        assert figures(found, switches) == figures(expected, switches)


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_layers_of_different_bits_have_the_tiles_of_their_own(small, encoding):
    """What does not depend on the rest of the chip is that of a chip of these bits in all layers."""
    chip = Chip(encoding=encoding)
    rows = [(8, 1), (4, 4), (4, 1), (6, 2)]
    mixed = evaluate(
        Design(network=small, chip=chip, periphery=tuple(Periphery(weight_bits=w, cell_bits=c) for w, c in rows))
    )
    plain = evaluate(Design.homogeneous(small, chip, Periphery()))
    for layer, (weight_bits, cell_bits) in enumerate(rows):
        alone = evaluate(Design.homogeneous(small, chip.of_layer(weight_bits, cell_bits), Periphery()))
        for quantity in ("tiles", "speed_up", "utilization", "sensing_period"):
            assert getattr(mixed, quantity)[layer] == getattr(alone, quantity)[layer], quantity
        for component in ("array", "adc", "buffers"):  # accumulation in tiles is beside that of the chip's trees
            own, other = (getattr(one.layers.area, component) for one in (mixed, alone))
            assert own[layer] == other[layer], component
        own, other = (one.layers.energy.adc for one in (mixed, alone))
        assert own[layer] == pytest.approx(other[layer], rel=1e-12)
    assert mixed.energy > plain.energy, "eight cells to a weight"
    assert "weight_bits" not in plain.to_dict()["layers"][0]
    assert mixed.to_dict()["layers"][0]["cell_bits"] == 1


def test_a_batch_of_different_bits_equals_a_loop(small):
    generator, shape = np.random.default_rng(0), (10, 4)
    work = Workload.from_network(small)
    periphery = PeripheryArrays.given(
        adc_type=generator.integers(0, 2, shape),
        columns_per_adc=generator.choice([2.0, 8.0], shape),
        weight_bits=generator.choice([0.0, 4.0, 6.0], shape),
        cell_bits=generator.choice([0.0, 1.0, 2.0], shape),
    )
    together = evaluate_batch(Chip(), work, periphery)
    for k in range(len(periphery.adc_type)):
        alone = evaluate_batch(Chip(), work, periphery[k])
        for quantity in ("area", "latency", "energy", "leakage_power"):
            assert getattr(alone, quantity) == getattr(together, quantity)[k], quantity


@pytest.mark.parametrize(
    ("chip", "entry", "message"),
    [
        ({}, {"weight_bits": 2}, "periphery.0.cell_bits must not exceed the layer's weight precision (2"),
        ({}, {"weight_bits": 1, "cell_bits": 1}, None),
        ({"columns": 16}, {"weight_bits": 9, "cell_bits": 1}, None),
        ({"columns": 8}, {"weight_bits": 9, "cell_bits": 1}, "periphery.0.cell_bits: a weight of 9 bits in cells of 1"),
        (
            {"device": {"cell": "sram", "cell_bits": 1}},
            {"cell_bits": 2},
            "periphery.0.cell_bits must be 1 for sram cells",
        ),
        ({"pack_groups": True}, {"weight_bits": 4}, "periphery.0.weight_bits must not be given with chip.pack_groups"),
    ],
)
def test_bits_that_a_chip_cannot_hold(small, chip, entry, message):
    chip, periphery = Chip.parse(chip), Periphery(**entry)
    if message is None:
        assert evaluate(Design.homogeneous(small, chip, periphery)).area > 0
        return
    with pytest.raises(ConfigError, match=re.escape(message)):
        Design.parse({"network": small, "chip": chip, "periphery": (periphery,) * len(small.layers)})


def test_copies_are_named_where_they_are_chosen(small):
    layers = evaluate(Design(network=small, periphery=(Periphery(copies=2), *[Periphery()] * 3))).to_dict()["layers"]
    assert [layer.get("copies") for layer in layers] == [2, None, None, None]
    assert "copies" not in layers[1]
