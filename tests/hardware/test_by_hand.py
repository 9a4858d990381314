"""Six figures of the VGG16 chip, rebuilt from docs/hardware-model.md (section 18) without the model's code.

Letters are those of that page.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources
from math import ceil, exp, floor, log, log2, log10, sqrt
from pathlib import Path

import pytest

from xpert.design import Chip, Design, Periphery, Technology
from xpert.hardware import PHYSICAL, Evaluation, Switches, evaluate
from xpert.hardware.chip import build_shared
from xpert.hardware.technology import process_of
from xpert.networks.spaces import space

PAGE = Path(__file__).parents[2] / "docs" / "hardware-model.md"

# Sections 2 and 14: 32 nm LSTP at 300 K, 64 x 64 cells of 20 to 200 kohm read at 0.5 V
TABLE = json.loads(resources.files("xpert.hardware").joinpath("data/transistors.json").read_text(encoding="utf-8"))
T = next(t for t in TABLE["transistors"] if (t["node_nm"], t["roadmap"]) == (32, "LSTP"))
F, V, V_READ = 32e-9, T["vdd_v"], 0.5
I_N, I_P = T["on_current_n_a_per_m"][0], T["on_current_p_a_per_m"][0]
PN = I_N / I_P
N = M = 64
SHARING, ADC_BITS, INPUT_BITS, SLICES = 8, 6, 8, 2
R_ON, R_OFF = 20e3, 200e3
H, G0, G = 28 * F, 3.8 * F, 2.8 * F
C_WIRE = 0.2e-15 / 1e-6
R_WIRE = 3.70e-8 / (56e-9**2 * 1.8)
C_J, C_SW, C_DCH = 1e-3 / sqrt(1 + V / 0.9), 2.5e-10 / (1 + V / 0.9) ** 0.33, 0.5e-10 / (1 + V / 0.9) ** 0.33
ROW, COLUMN = (M + SLICES) * 12 * F, N * 4 * F  # reference columns with it

Pair = tuple[float, float]
"""Widths of N and P."""

# Section 3


def gate_capacitance(width: float) -> float:
    return (1.2 * T["ideal_gate_capacitance_f_per_m"] + T["fringe_capacitance_f_per_m"]) * width


def c_i(pair: Pair) -> float:
    return gate_capacitance(pair[0]) + gate_capacitance(pair[1])


def r_n(width: float) -> float:
    return T["resistance_multiplier"] * V / (I_N * width)


def r_p(width: float) -> float:
    return T["resistance_multiplier"] * V / (I_P * width)


def hz(tau: float, ramp: float = 1e20) -> tuple[float, float]:
    delay = tau * sqrt(log(0.5) ** 2 + 0.5 / (ramp * tau))
    return delay, 0.5 / delay


def enlarged(n: float, p: float, height: float = H) -> Pair:
    room = height - 7.1 * F
    return room * n / (n + p), room * p / (n + p)


def drain(height: float, width: float, perimeter: float) -> float:
    return width * height * C_J + perimeter * C_SW + height * C_DCH


def c_o(pair: Pair, cell: float = H) -> float:
    """Of an inverter, or of one transistor; none of these is folded."""
    assert sum(pair) <= (cell - 7.1 * F if all(pair) else cell - 3.6 * F) * (1 + 1e-9)
    return sum(drain(width, G, 2 * G + width) for width in pair if width)


def folded(pair: Pair, cell: float = H) -> float:
    """Drain capacitance of a pair that is folded into its cell."""
    total = 0.0
    for width, room in zip(pair, enlarged(*pair, cell), strict=True):
        n = 1 if width <= room * (1 + 1e-9) else ceil(width / room * (1 - 1e-9))
        height = width if n == 1 else room
        drawn = G if n == 1 else ceil((n + 1) / 2) * G
        total += drawn * height * C_J + (2 * drawn + height * (1 + (n + 1) % 2)) * C_SW + n * height * C_DCH
    return total


def stacked(series: float, parallel: float) -> float:
    """Output capacitance of a gate of two inputs that is not folded."""
    return drain(series, 2 * G, 4 * G + series) + drain(parallel, G, 2 * G)


INV, NAND = enlarged(2 * F, 2 * F * PN), enlarged(4 * F, 2 * F * PN)
INV_O, NAND_O = c_o(INV), stacked(*NAND)


def evaluated(switches: Switches = PHYSICAL) -> Evaluation:
    vgg = space("vgg16")
    return evaluate(Design.homogeneous(vgg.network(vgg.default_channels), Chip(), Periphery()), switches)


@pytest.fixture(scope="module")
def chip() -> Evaluation:
    return evaluated()


def said(name: str) -> float:
    """A figure of the page's section 18."""
    (value,) = re.findall(rf"^\| {name} \|[^|]*\| ([\d.]+) [^|]*\|", PAGE.read_text(encoding="utf-8"), re.M)
    return float(value)


# Section 4, matching: an offset of 0.25 step after a trim of 5 bits, in a range of the read voltage
RAW = 0.25 * 2**5 / sqrt(3)
A_VT = 2.5e-9


def matched(sigma: float) -> float:
    return max(2 * F, (A_VT / sigma) ** 2 / T["gate_length_m"])


PAIR = matched(RAW * V_READ / 2**ADC_BITS)
MIRROR = matched(RAW / (2**ADC_BITS * (1 / R_ON + 1 / R_OFF) / 2 / (1 / R_ON - 1 / R_OFF)) / 10)


def test_area_of_the_adcs_of_conv2(chip: Evaluation) -> None:
    transistor = 28 * F * 2 * G0  # of minimum width in a cell of its own, N or P
    assert PAIR < 24.4 * F  # so that a larger pair takes no more cells
    assert 2 * 24.4 * F < MIRROR < 3 * 24.4 * F
    adc = transistor * (269 + 109 * (ADC_BITS - 1)) + transistor * (209 + 73 * (ADC_BITS - 1))
    adc += transistor * (2**5 + 4 * 5)  # trim DAC and latches
    tiles, subarrays, adcs = 2, 16 * 4, M // SHARING
    registers = ceil(2 * 8 * SLICES / floor(ROW / (12 * 2 * G0))) * 28 * F * ROW
    reference = 2 * (transistor * (52 + 60) + 2**8 * 0.5e-15 / 2e-3) + registers
    mirrors = 2 * (SLICES + adcs) * 28 * F * 4 * G0
    area = (adc * adcs + reference + mirrors) * subarrays * tiles * 1e6
    assert chip.to_dict()["layers"][1]["breakdown"]["area_mm2"]["adc"] == pytest.approx(area, rel=1e-12)
    assert said("area of ADCs") == pytest.approx(area, rel=1e-3)


def test_area_of_the_accumulation_of_conv2(chip: Evaluation) -> None:
    adcs, nand = M // SHARING, 28 * F * 3 * G0
    per_row = floor(ROW / (12 * 2 * G0))  # flip-flops of twelve inverters
    shift_adds = 0.0
    for bits, shifts in ((ADC_BITS, SLICES), (ADC_BITS + SLICES, INPUT_BITS)):
        rows = 1 + ceil(adcs * (bits + shifts) / per_row)
        shift_adds += 9 * bits * adcs * nand + rows * 28 * F * ROW
    leaf = ADC_BITS + INPUT_BITS + SLICES + 1
    pe_trees = 2 * M // SHARING * 9 * leaf * nand
    tile_trees = 4 * 2 * M // SHARING * 9 * (2 * (leaf + 1) + (leaf + 2)) * nand
    area = 2 * (64 * shift_adds + 16 * pe_trees + tile_trees) * 1e6
    assert chip.to_dict()["layers"][1]["breakdown"]["area_mm2"]["accumulation"] == pytest.approx(area, rel=1e-12)
    assert said("area of accumulation") == pytest.approx(area, rel=1e-3)


CELL = R_ON / 4 + 2 / (1 / R_ON + 1 / R_OFF)
RESISTANCE = CELL / floor(N * 0.3 + 0.5)
OF_COLUMN = 0.079449 * exp(-2.297 * log10(RESISTANCE * 0.5 / V_READ))


def conversion_energy() -> float:
    power = (1.1294 * ADC_BITS + 8.8998) * 1e-6 + OF_COLUMN
    decision = 2 * (gate_capacitance(PAIR) - gate_capacitance(2 * F)) + 2**5 * c_o((2 * F, 0.0))
    return power * (ADC_BITS + 1) * 1e-9 + ADC_BITS * decision * V**2


def turn_energy() -> float:
    """References and mirrors of a subarray, for one turn of its ADCs."""
    time = (ADC_BITS + 1) * 1e-9
    load = M // SHARING * 2**ADC_BITS * 0.5e-15 / 2 + C_WIRE * ROW
    current = load * 1e9 * (ADC_BITS + 1) * log(2) / 10
    ends = 2 * (current * V * time + (2**8 * 0.5e-15 + load) * V**2)
    return ends + 2 * OF_COLUMN * time  # all ADCs convert the same slice


def test_energy_of_the_adcs_of_conv2(chip: Evaluation) -> None:
    crossbars_down, columns, reads = 64 * 9 / N, 64 * SLICES, 32 * 32 * INPUT_BITS
    of_crossbars = conversion_energy() * columns + turn_energy() * SHARING * columns / M
    energy = of_crossbars * crossbars_down * reads * 1.22 * 1e6
    assert chip.to_dict()["layers"][1]["breakdown"]["energy_uj"]["adc"] == pytest.approx(energy, rel=1e-12)
    assert said("energy of ADCs") == pytest.approx(energy, rel=1e-3)


def test_sensing_cycle_of_conv2(chip: Evaluation) -> None:
    access = R_ON / 4
    width = 0.2 * r_n(F) / access * F
    # Word line: INVe-sized pass gates as high as a row's share of the column
    word_line = ROW * C_WIRE + (M + SLICES) * gate_capacitance(width)
    per_column = floor(COLUMN / (28 * F))
    per_column = ceil(N / ceil(N / per_column))
    load = 5 * c_o(INV, COLUMN / per_column) + word_line
    t_word_line, _ = hz(0.2 * r_n(INV[0]) * load + ROW * R_WIRE * word_line / 2)
    # Multiplexer
    target = CELL / N / 4
    gate = (r_n(F) * F * 0.2 / (2 * target), r_p(F) * F * 0.2 / (2 * target))
    on = 1 / (1 / (0.2 * r_n(gate[0])) + 1 / (0.2 * r_p(gate[1])))
    fingers = floor(ROW / M / G0) - 1  # 64 gates side by side
    t_mux = 2.3 * 2 * on * (folded(gate, sum(gate) / fingers + 7.1 * F) + c_i(gate) / 2)
    # Its decoder: three address bits, eight NORs of two inputs, eight ADCs as load
    nor, driver = enlarged(2 * F, 2 * 2 * F * PN), (4 * F, 4 * F * PN)
    lines = [gate_capacitance(width) * M / SHARING + ROW * C_WIRE for width in gate]
    # Its drivers make the delay of a NAND into them and of them into the lines least.
    strength = sqrt(r_p(driver[1]) * sum(lines) / (r_n(NAND[0]) * c_i(driver)))
    assert strength > 1
    driver = (driver[0] * strength, driver[1] * strength)
    stages = (
        r_n(INV[0]) * (INV_O + 2 * c_i(NAND)),
        2 * r_n(NAND[0]) * (NAND_O + c_i(nor) * 8 / 4),
        2 * r_p(nor[1]) * (stacked(nor[1], nor[0]) + c_i(NAND)),
        r_n(NAND[0]) * (NAND_O + c_i(driver)),
        r_p(driver[1]) * (folded(driver) + c_i(driver) + lines[0]),
        r_n(driver[0]) * (folded(driver) + lines[1]),
    )
    t_decoder, ramp = 0.0, 1e20
    for tau in stages:
        delay, ramp = hz(tau, ramp)
        t_decoder += delay
    column = COLUMN * C_WIRE + N * c_o((width, 0.0), 12 * F)
    t_settle = column * (min(RESISTANCE, R_ON + access) + COLUMN * R_WIRE / 2) * (ADC_BITS + 1) * log(2)
    cycle = 1.4 * (max(t_word_line, t_mux + t_decoder) + t_settle + (ADC_BITS + 1) * 1e-9) * 1e9
    unrounded = evaluated(replace(PHYSICAL, whole_cycles=False)).to_dict()["layers"][1]["sensing_period_ns"]
    assert unrounded == pytest.approx(cycle, rel=1e-12)
    assert chip.to_dict()["layers"][1]["sensing_period_ns"] == pytest.approx(ceil(cycle), rel=1e-12)
    assert said("sensing cycle") == ceil(cycle)
    # Sensing cycles are whole cycles of the logic clock, 1 ns each.
    assert chip.to_dict()["sensing_period_ns"] == pytest.approx(ceil(cycle), rel=1e-12)


def test_time_of_the_buffers_of_conv2(chip: Evaluation) -> None:
    n_v, copies = 32 * 32, 4
    tree_bits = ADC_BITS + INPUT_BITS + SLICES + 1
    # PE of 2 x 2 subarrays: banks of flip-flops, shared by the copies
    bank_in = 2 * N * n_v * INPUT_BITS / (INPUT_BITS * N)
    bank_out = (2 * M / SLICES) * tree_bits * n_v / (M / SHARING * tree_bits)
    # The full tile, which is the slowest: 512 of the 576 rows, 64 outputs. What fills the bus is written and read.
    tile_in = 2 * 512 * n_v * INPUT_BITS / 256
    tile_out = 2 * 64 * (1 + tree_bits + 1) * n_v / 256
    # Global buffer: 16 of its cores work at a time; the map is pooled 2 x 2
    lines = (576 * n_v * INPUT_BITS + 64 * n_v * INPUT_BITS / 4) / 128
    cycles = (bank_in + bank_out) / copies + tile_in + tile_out + lines / 16
    assert chip.to_dict()["layers"][1]["breakdown"]["latency_us"]["buffers"] == pytest.approx(cycles * 1e-3, rel=1e-12)
    assert said("time of buffers") == pytest.approx(cycles * 1e-3, rel=1e-3)


def test_energy_of_the_global_h_tree(chip: Evaluation) -> None:
    def repeater(size: float) -> tuple[float, float, float]:
        pair = (max(size, 1) * 2 * F, max(size, 1) * 2 * F * PN)
        return r_n(pair[0]) + r_p(pair[1]), c_i(pair), folded(pair)

    def delay(size: float, d: float) -> float:
        r, gate, out = repeater(size)
        return 0.7 * (r * (gate + out + C_WIRE * d) + 0.5 * R_WIRE * C_WIRE * d * d + R_WIRE * d * gate) / d

    r, gate, out = repeater(1)
    size, d = floor(sqrt(r * C_WIRE / (gate * R_WIRE))), sqrt(2 * r * (out + gate) / (R_WIRE * C_WIRE))
    limit, slower = 1.1 * delay(size, d), False
    while not slower:
        size, d = size // 2, 0.9 * d
        slower = delay(size, d) >= limit
    _, gate, out = repeater(size)
    per_metre = 0.25 * (gate + out + C_WIRE * d) * V**2 / d
    tile = chip.to_dict()["layers"][1]["area_mm2"] * 1e-6 / 2
    rows, columns = 12, 11  # 122 tiles
    stages, centre = ceil(log2(rows)), floor(log2(columns))
    trunk = min(columns - centre, centre)
    reach = sqrt(tile) * ((rows + columns) * (1 - 2**-stages) / 2 + trunk)
    energy = per_metre * reach * 2048 * 1e9
    assert build_shared(process_of(Technology()), Chip(), chip.context).h_tree.energy[0] == pytest.approx(energy * 1e-9)
    assert said("energy of the H-tree") == pytest.approx(energy, rel=1e-3)
