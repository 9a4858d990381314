"""Reading a part of the rows at once, and inputs as pulse widths: what they cost."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from xpert.design import Chip, Design, Device, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware import Evaluation, evaluate
from xpert.hardware.crossbar import crossbar_of, path_conductances
from xpert.hardware.measured import measure_reads
from xpert.hardware.subarray import PeripheryArrays, Subarray, subarray
from xpert.hardware.technology import process_of

NETWORK = Network(
    backbone="custom",
    input_shape=(200, 1, 1),
    layers=(
        Layer(name="a", kind="linear", in_channels=200, out_channels=64),
        Layer(name="b", kind="linear", in_channels=40, out_channels=10),
    ),
)


def cost(input_bits: int = 8, adc_type: str = "sar", columns_per_adc: int = 8, **chip: object) -> Evaluation:
    parsed = Chip.parse({"rows": 128, "columns": 128, "subarrays_per_pe": 4, "pes_per_tile": 4, **chip})
    periphery = Periphery(input_bits=input_bits, adc_type=adc_type, columns_per_adc=columns_per_adc, adc_bits=5)
    return evaluate(Design.homogeneous(NETWORK, parsed, periphery))


def figures(result: Evaluation) -> dict[str, float]:
    return {name: float(getattr(result, name)) for name in ("area", "latency", "energy", "leakage_power")}


def built(rows_per_read: int | None, columns_per_adc: int = 8, **chip: object) -> Subarray:
    parsed = Chip.parse({"rows": 128, "columns": 128, "rows_per_read": rows_per_read, **chip})
    crossbar = crossbar_of(parsed)
    reads = float(crossbar.reads)
    return subarray(
        process_of(parsed.technology),
        crossbar,
        PeripheryArrays.of([Periphery(columns_per_adc=columns_per_adc)]),
        row_activity=np.array([0.25]),
        column_resistance=np.array([[reads / (32 * 2e-5)]]),
        multiplicity=128.0,
        reads=reads,
    )


SRAM = {"cell": "sram", "cell_bits": 1, "cell_height_f": 10, "cell_width_f": 28}


@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize("adc_type", ["sar", "flash", "ramp"])
@pytest.mark.parametrize("device", [{}, SRAM], ids=["rram", "sram"])
def test_all_rows_at_once_is_the_default(device: dict, adc_type: str, synchronous: bool) -> None:
    options = {"device": device, "synchronous": synchronous}
    assert figures(cost(adc_type=adc_type, rows_per_read=128, **options)) == figures(cost(adc_type=adc_type, **options))


@pytest.mark.parametrize("rows_per_read", [64, 43, 9, 1])
def test_a_read_for_every_group(rows_per_read: int) -> None:
    whole, parts = built(None), built(rows_per_read)
    groups = math.ceil(128 / rows_per_read)
    assert parts.adc_cycles == groups * whole.adc_cycles
    assert parts.blocks["sar_adc"].uses == groups
    assert parts.blocks["shift_add_weight"].uses == groups * whole.blocks["shift_add_weight"].uses
    assert parts.blocks["shift_add_input"].uses == groups * whole.blocks["shift_add_input"].uses
    # All groups together drive every row once, and charge every column once each.
    assert parts.blocks["wl_switch_matrix"].uses == whole.blocks["wl_switch_matrix"].uses
    assert whole.array_energy < parts.array_energy < groups * whole.array_energy
    # The current through a column is that of its group.
    assert parts.blocks["sar_adc"].cost.energy < whole.blocks["sar_adc"].cost.energy
    assert parts.blocks["read_decoder"].cost.area > 0
    assert "read_decoder" not in whole.blocks


def test_fewer_rows_at_once_take_longer_and_more() -> None:
    results = [figures(cost(rows_per_read=rows)) for rows in (None, 64, 32, 16, 8, 4, 2, 1)]
    for less, more in pairwise(results):
        assert more["latency"] > less["latency"]
        assert more["energy"] > less["energy"]


def test_a_layer_of_few_rows_has_few_reads() -> None:
    """The second layer fills 40 of 128 rows: 5 groups of 8, not 16."""
    few = cost(rows_per_read=8, input_bits=1)
    period = few.sensing_period[1]
    assert few.layers.latency.adc[1] == pytest.approx(5 * 8 * period / few.speed_up[1])


def test_a_single_input_bit_needs_an_accumulator_for_groups() -> None:
    def accumulators(rows_per_read: int | None) -> float:
        chip = Chip(rows=128, columns=128, rows_per_read=rows_per_read, weight_bits=4)
        crossbar = crossbar_of(chip)
        found = subarray(
            process_of(chip.technology),
            crossbar,
            PeripheryArrays.of([Periphery(input_bits=1)]),
            row_activity=np.array([0.3]),
            column_resistance=np.array([[2e3]]),
            reads=float(crossbar.reads),
        )
        return float(np.squeeze(found.blocks["shift_add_input"].cost.area))

    assert accumulators(None) == 0
    assert accumulators(64) > 0


def test_measured_reads_see_the_rows_of_a_group() -> None:
    chip = Chip(rows=32, columns=32, rows_per_read=8)
    p, crossbar = process_of(chip.technology), crossbar_of(chip)
    periphery = PeripheryArrays.of([Periphery(columns_per_adc=4)])
    rng = np.random.default_rng(0)
    cells = rng.uniform(5e-6, 5e-5, (52, 32))
    bits = (rng.random((20, 52)) < 0.4).astype(float)
    full, partial = measure_reads(p, crossbar, periphery, cells, bits)
    assert full.adc_cycles == 4 * 4
    assert partial.adc_cycles == 4 * 3  # 20 rows in groups of 8
    # By hand: what one vector's groups draw, and the mean over vectors.
    paths = path_conductances(p, crossbar, cells[:32])
    wanted = 0.0
    for vector in bits[:, :32]:
        for start in range(0, 32, 8):
            driven = vector[start : start + 8] @ paths[start : start + 8]
            with np.errstate(divide="ignore"):
                resistance = (1 / driven)[None]
            found = subarray(
                p,
                crossbar,
                periphery,
                row_activity=np.array([vector.mean()]),
                column_resistance=resistance,
                multiplicity=np.full((1, 32), 1 / 32),
            )
            wanted += float(np.squeeze(found.column_energy))
    assert full.column_energy == pytest.approx(wanted / len(bits))
    whole = replace(crossbar, rows_per_read=32)
    alike = measure_reads(p, whole, periphery, cells, bits)
    default = measure_reads(p, replace(crossbar, rows_per_read=None), periphery, cells, bits)
    assert alike == default


def test_groups_that_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rows_per_read must be at most rows \(64\), got 65"):
        Chip.parse({"rows_per_read": 65})
    with pytest.raises(ConfigError, match="rows_per_read"):
        Chip.parse({"rows_per_read": 0})


@pytest.mark.parametrize("synchronous", [True, False])
def test_one_bit_is_one_pulse(synchronous: bool) -> None:
    bits = figures(cost(input_bits=1, synchronous=synchronous))
    pulses = figures(cost(input_bits=1, synchronous=synchronous, input_coding="pulse_width"))
    assert pulses == pytest.approx(bits, rel=1e-12)


def test_pulses_take_the_place_of_reads() -> None:
    serial, pulses = cost(), cost(input_coding="pulse_width")
    assert pulses.layers.energy.accumulation[0] < serial.layers.energy.accumulation[0] / 8
    # 254 pulses of 1 ns more, and an eighth of the conversions.
    chip = Chip(rows=128, columns=128, input_coding="pulse_width")
    found = subarray(
        process_of(chip.technology),
        crossbar_of(chip),
        PeripheryArrays.of([Periphery(input_bits=8)]),
        row_activity=np.array([0.5]),
        column_resistance=np.array([[1 / (32 * 2e-5)]]),
        multiplicity=128.0,
        row_duty=np.array([0.25]),
    )
    one = built(None)
    assert found.sensing_period == pytest.approx(254e-9 + one.sensing_period, rel=1e-6)
    assert found.blocks["shift_add_input"].cost.area == 0
    assert found.blocks["pulses"].cost.energy == pytest.approx(128 * 0.5**2 * (32 * 2e-5) * 254e-9)
    assert found.blocks["pulse_counters"].cost.area > 0


def test_a_slow_logic_clock_makes_long_pulses() -> None:
    fast, slow = (cost(input_coding="pulse_width", logic_clock_hz=clock).layers.latency.adc[0] for clock in (1e9, 1e8))
    assert slow > 8 * fast


@pytest.mark.parametrize(
    ("analog", "message"),
    [
        ({"signed_inputs": "twos_complement"}, "analog.signed_inputs must be 'offset' for input_coding 'pulse_width'"),
        ({"adc_range": "learned"}, "analog.adc_range must be 'calibrated', 'full_scale' or 'unbounded' for"),
    ],
)
def test_pulses_that_are_refused(analog: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Chip.parse({"input_coding": "pulse_width", "analog": analog})


def test_magnetic_cells() -> None:
    mram = {"cell": "mram", "cell_bits": 1, "r_on_ohm": 4e3, "r_off_ohm": 1e4, "cell_width_f": 24}
    chip = {"technology": {"node_nm": 22}, "weight_bits": 1, "device": mram}
    assert math.isfinite(cost(**chip).energy)
    with pytest.raises(
        ConfigError, match=r"cell_width_f: a cell of 12 F .* with 25% .* allowed is \d+\.\d or more"
    ) as no:
        cost(**chip | {"device": mram | {"cell_width_f": 12}})
    allowed = float(str(no.value).split("allowed is ")[1].split()[0])
    assert math.isfinite(cost(**chip | {"device": mram | {"cell_width_f": allowed}}).energy)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"cell_bits": 2, "r_on_ohm": 4e3, "r_off_ohm": 1e4}, "an mram cell stores 1 bit: cell_bits must be 1, got 2"),
        ({"cell_bits": 1}, "r_on_ohm must be given for an mram cell"),
        ({"cell_bits": 1, "r_on_ohm": 4e3}, "r_off_ohm must be given for an mram cell"),
        ({"cell_bits": 1, "r_on_ohm": 4e3, "r_off_ohm": 1e6}, r"at most 7.31 r_on_ohm \(29240\), got 1e\+06"),
        (
            {"cell_bits": 1, "r_on_ohm": 4e3, "r_off_ohm": 1e4, "access": "crosspoint"},
            "access 'crosspoint' is for rram and pcm cells, not mram",
        ),
    ],
)
def test_magnetic_cells_that_are_refused(device: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Device.parse({"cell": "mram"} | device)
