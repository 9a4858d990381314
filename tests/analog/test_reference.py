"""The layers against the analog model written as loops over everything, straight from docs/analog-model.md.

The loops share nothing with `xpert.analog`: weights are encoded, programmed, sent through wires (all nodes of every
crossbar, by a sparse solver) and put on the grid again. Only the noise of reads is tested elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.analog.nodes import sensed
from xpert.analog import AnalogLayer, AnalogSettings
from xpert.design import IDEAL, Chip, Device, Periphery
from xpert.networks.quantised import QuantConv2d, QuantLayer, QuantLinear, calibrate_quantisers


@dataclass
class Setup:
    """What the reference needs to know of a layer, spelled out."""

    weight: np.ndarray  # integers [out, in / groups, kh, kw]
    weight_bits: int
    cell_bits: int
    rows: int
    columns: int
    device: Device
    settings: AnalogSettings
    columns_per_adc: int
    flash: bool
    differential: bool
    middle: bool
    reference_varies: bool
    novel: bool
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def bits_of_slices(setup: Setup) -> list[int]:
    left = setup.weight_bits - (1 if setup.differential else 0)
    sizes = []
    while left > 0:
        sizes.append(min(setup.cell_bits, left))
        left -= sizes[-1]
    return sizes


def blocks_of_rows(setup: Setup) -> list[list[int]]:
    _, channels, kh, kw = setup.weight.shape
    every = list(range(kh * kw * channels))
    pieces = [every[p * channels : (p + 1) * channels] for p in range(kh * kw)] if setup.novel else [every]
    return [piece[i : i + setup.rows] for piece in pieces for i in range(0, len(piece), setup.rows)]


def row_weights(setup: Setup, group: int, output: int) -> list[int]:
    """Weights of one output in the order of the rows: kernel row, kernel column, channel."""
    per_group = setup.weight.shape[0] // setup.groups
    _, channels, kh, kw = setup.weight.shape
    w = setup.weight[group * per_group + output]
    return [int(w[c, i, j]) for i in range(kh) for j in range(kw) for c in range(channels)]


STREAMS = {
    "programming": 0,
    "drift": 1,
    "relaxation": 2,
    "stuck_cells": 3,
    "adc_offset": 4,
    "adc_gain": 5,
    "noise_1f": 7,
}


class Streams:
    """The draws of a layer: a seed from the chip's generator, and a generator of its own for each effect."""

    def __init__(self, generator: torch.Generator) -> None:
        self.seed = int(torch.randint(1 << 62, (), generator=generator))
        self.generators: dict[str, torch.Generator] = {}

    def __getitem__(self, effect: str) -> torch.Generator:
        if effect not in self.generators:
            state = np.random.SeedSequence([self.seed, STREAMS[effect]]).generate_state(1, np.uint64)[0]
            self.generators[effect] = torch.Generator().manual_seed(int(state) >> 1)
        return self.generators[effect]

    def normal(self, effect: str, shape: tuple[int, ...]) -> np.ndarray:
        return torch.randn(shape, generator=self[effect]).numpy().astype(float)


def on_points(value: Any, x: float, power_law: bool = False) -> float:
    """A figure at the relative conductance x, by the two points around it."""
    if not isinstance(value, tuple):
        return value
    (first, start), (last, stop) = value[0], value[-1]
    if x <= first or x >= last:
        return start if x <= first else stop
    (a, low), (b, high) = next(pair for pair in pairwise(value) if x <= pair[1][0])
    part = math.log(x / a) / math.log(b / a)
    return low * (high / low) ** part if power_law else low + (high - low) * part


def cells(setup: Setup, codes: np.ndarray, draws: Streams | None) -> np.ndarray:
    """What cells conduct, in levels, one after the other."""
    device, settings = setup.device, setup.settings
    level = (1 / device.r_on_ohm - 1 / device.r_off_ohm) / (2**setup.cell_bits - 1)
    off = 1 / device.r_off_ohm / level if settings.finite_on_off else 0.0
    on = off + 2**setup.cell_bits - 1
    # A stream that an effect does not use is not touched.
    programming = drift = relaxation = flicker = None
    later = settings.seconds_since_programming > device.drift_t0_s
    if draws is not None:
        if settings.programming_variation:
            programming = draws.normal("programming", codes.shape)
        if later and device.drift_nu_sigma:
            drift = draws.normal("drift", codes.shape)
        if later and device.relaxation_sigma_per_decade:
            relaxation = draws.normal("relaxation", codes.shape)
        if settings.read_noise and device.read_noise_1f:
            flicker = draws.normal("noise_1f", codes.shape)
    faults = settings.stuck_cells and device.stuck_on_rate + device.stuck_off_rate > 0
    fates = torch.rand(codes.shape, generator=draws["stuck_cells"]).numpy() if draws is not None and faults else None
    result = np.zeros(codes.shape)
    for place in np.ndindex(*codes.shape):
        code = int(codes[place])
        g = code + off
        if device.programming_states is not None:
            g = device.programming_states[code].mean_us * 1e-6 / level
        state = g
        if programming is not None:
            sigma = math.hypot(device.programming_sigma * g, device.programming_sigma_absolute * on)
            if device.programming_polynomial is not None:
                sigma = on * max(0, sum(c * (g / on) ** i for i, c in enumerate(device.programming_polynomial)))
            if device.programming_states is not None:
                sigma = device.programming_states[code].sigma_us * 1e-6 / level
            g = max(0.0, g + sigma * programming[place])
        programmed = g
        if later:
            decades = math.log10(settings.seconds_since_programming / device.drift_t0_s)
            nu = on_points(device.drift_nu, state / on)
            if drift is not None:
                nu = max(0.0, nu + on_points(device.drift_nu_sigma, state / on) * drift[place])
            g *= 10 ** (-nu * decades)
            g += on * decades * device.relaxation_per_decade
            if relaxation is not None:
                g += on * decades * device.relaxation_sigma_per_decade * relaxation[place]
            g = max(0.0, g)
        if flicker is not None:
            since, read = max(settings.seconds_since_programming, device.drift_t0_s), device.read_time_s
            q = on_points(device.read_noise_1f, programmed / on, power_law=True)
            g = max(0.0, g * (1 + q * math.sqrt(math.log((since + read) / (2 * read))) * flicker[place]))
        if fates is not None:
            if fates[place] < device.stuck_on_rate:
                g = on
            elif fates[place] >= 1 - device.stuck_off_rate:
                g = off
        result[place] = g
    return result


def conductances(setup: Setup, draws: Streams | None) -> tuple[np.ndarray, float]:
    """[groups, rows, slices, outputs], in levels, reference subtracted; and what the sum of all cells has lost."""
    sizes = bits_of_slices(setup)
    outputs = setup.weight.shape[0] // setup.groups
    length = math.prod(setup.weight.shape[1:])
    shape = (setup.groups, length, len(sizes), outputs)
    per_crossbar = max(1, setup.columns // len(sizes) // (2 if setup.differential else 1))
    n_crossbars = math.ceil(outputs / per_crossbar)
    data, subtracted = np.zeros(shape, int), np.zeros(shape if setup.differential else (*shape[:3], n_crossbars), int)
    for g in range(setup.groups):
        for o in range(outputs):
            for r, w in enumerate(row_weights(setup, g, o)):
                for s, size in enumerate(sizes):
                    shift = setup.cell_bits * s
                    if setup.differential:
                        data[g, r, s, o] = (max(w, 0) >> shift) % 2**size
                        subtracted[g, r, s, o] = (max(-w, 0) >> shift) % 2**size
                    else:
                        data[g, r, s, o] = ((w + 2 ** (setup.weight_bits - 1)) >> shift) % 2**size
                        subtracted[g, r, s, o // per_crossbar] = 2 ** (size - 1) if setup.middle else 0
    conducting = cells(setup, data, draws)
    reference = cells(setup, subtracted, draws if setup.differential or setup.reference_varies else None)
    if setup.settings.ir_drop:
        through_wires(setup, conducting, reference, per_crossbar)
    result = np.zeros(shape)
    for g, r, s, o in np.ndindex(*shape):
        result[g, r, s, o] = conducting[g, r, s, o] - reference[g, r, s, o if setup.differential else o // per_crossbar]
    gain = 1.0
    analog = setup.settings
    if analog.gain_compensation and (analog.ir_drop or analog.seconds_since_programming > setup.device.drift_t0_s):
        quiet = replace(setup, settings=IDEAL.replace(finite_on_off=True))
        wanted = cells(quiet, data, None).sum() + cells(quiet, subtracted, None).sum()
        gain = wanted / (conducting.sum() + reference.sum())
    return result, gain


def through_wires(setup: Setup, data: np.ndarray, reference: np.ndarray, per_crossbar: int) -> None:
    """Effective conductances in the place of the cells' own, crossbar by crossbar."""
    device, analog = setup.device, setup.settings
    level = (1 / device.r_on_ohm - 1 / device.r_off_ohm) / (2**setup.cell_bits - 1)
    groups, _, slices, outputs = data.shape
    for g in range(groups):
        for block in blocks_of_rows(setup):
            for first in range(0, outputs, per_crossbar):
                columns = []  # views of the columns from the drivers on
                middle = first + min(per_crossbar, outputs) // 2
                places = range(first, first + min(per_crossbar, outputs))
                for o in places:
                    if o == middle and not setup.differential:
                        columns += [reference[g, :, s, first // per_crossbar] for s in range(slices)]
                    for s in range(slices if o < outputs else 0):
                        columns.append(data[g, :, s, o])
                        if setup.differential:
                            columns.append(reference[g, :, s, o])
                found = sensed(
                    np.stack([column[block] for column in columns], axis=1) * level,
                    row=analog.row_wire_ohm,
                    column=analog.column_wire_ohm,
                    driver=analog.driver_ohm,
                    sense=analog.sense_ohm,
                    access=device.access_resistance_ohm,
                )
                for column, currents in zip(columns, found.T, strict=True):
                    column[block] = currents / level


def adc_errors(setup: Setup, draws: Streams, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Offset and gain error of each conversion [blocks, groups, slices, outputs], float32.

    Flash ADCs have an offset for each of so many levels instead, [blocks, groups, slices, outputs, levels].
    """
    sizes, outputs = bits_of_slices(setup), setup.weight.shape[0] // setup.groups
    per_crossbar = max(1, setup.columns // len(sizes) // (2 if setup.differential else 1))
    adcs = math.ceil(per_crossbar * len(sizes) / setup.columns_per_adc)
    n_blocks = len(blocks_of_rows(setup))
    shape = (n_blocks, setup.groups, math.ceil(outputs / per_crossbar) * adcs)
    found = []
    thresholds = None
    for effect in ("adc_offset", "adc_gain"):
        sigma = getattr(setup.settings, f"{effect}_sigma")
        if effect == "adc_offset" and setup.flash and sigma:
            of_adcs = (draws.normal(effect, (*shape, levels)) * sigma).astype(np.float32)
            thresholds = np.zeros((n_blocks, setup.groups, len(sizes), outputs, levels), np.float32)
            for k, g, s, o in np.ndindex(*thresholds.shape[:-1]):
                crossbar, place = divmod(o, per_crossbar)
                adc = crossbar * adcs + (place * len(sizes) + s) // setup.columns_per_adc
                thresholds[k, g, s, o] = of_adcs[k, g, adc]
            sigma = 0
        errors = (draws.normal(effect, shape) * sigma).astype(np.float32) if sigma else np.zeros(shape, np.float32)
        of_columns = np.zeros((n_blocks, setup.groups, len(sizes), outputs), np.float32)
        for k, g, s, o in np.ndindex(*of_columns.shape):
            crossbar, place = divmod(o, per_crossbar)
            of_columns[k, g, s, o] = errors[k, g, crossbar * adcs + (place * len(sizes) + s) // setup.columns_per_adc]
        found.append(of_columns)
    return found[0], found[1], thresholds


@dataclass
class Adc:
    """A layer's ADCs."""

    bits: int
    unit: float  # common factor of the steps, in levels
    steps: list[float]  # of each slice, in levels
    lowest: list[int]  # reading, of each slice
    offset: np.ndarray  # [blocks, groups, slices, outputs], in steps
    gain: np.ndarray  # likewise, relative
    levels: np.ndarray | None  # offsets of thresholds [blocks, groups, slices, outputs, levels], in steps


def on_grid(setup: Setup, conductance: np.ndarray, adc: Adc) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Conductances [groups, rows, slices, outputs], offsets and thresholds, rounded to the common binary grid.

    All in ADC steps; thresholds less the lowest reading.
    """
    scaled = conductance.astype(np.float32) / np.array(adc.steps, np.float32).reshape(1, 1, -1, 1)
    blocks = blocks_of_rows(setup)
    for k, block in enumerate(blocks):
        scaled[:, block] *= (1 + adc.gain[k])[:, None]
    scaled = scaled.astype(np.float64)
    base = (np.array(adc.lowest).reshape(1, -1, 1) + 2 ** (adc.bits - 1)) // 2 * 2
    rows = max(map(len, blocks))
    half_unit = math.sqrt(12 / rows) / 64
    bound = max(2.0 ** (adc.bits - 1) + 1, float(np.abs(scaled).max()) + half_unit)
    for k, block in enumerate(blocks):
        for ends in (scaled[:, block].clip(min=0), scaled[:, block].clip(max=0)):
            sums = ends.sum(axis=1)
            seen = float(np.abs(sums - base + adc.offset[k]).max())
            bound = max(bound, seen + 0.5 + (rows + 1) * half_unit, float(np.abs(sums).max()) / 2)
    digits = max(f for f in range(-16, 15) if 2.0**f * bound < 2**15)
    if math.sqrt(rows / 12) / 2.0**digits > 1 / 32:
        digits += 8
    offset = np.rint(adc.offset.astype(np.float64) * 2.0**digits) / 2.0**digits
    levels = None
    if adc.levels is not None:
        ideal = np.arange(adc.levels.shape[-1], dtype=np.float32) + np.float32(0.5)
        levels = np.rint((ideal + adc.levels).astype(np.float64) * 2.0**digits) / 2.0**digits
    return np.rint(scaled * 2.0**digits) / 2.0**digits, offset, levels


Grid = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""What `on_grid` gives."""


def vector_sum(
    setup: Setup,
    vector: list[int],
    group: int,
    output: int,
    input_bits: int,
    grid: np.ndarray | Grid,
    adc: Adc | None,
    twos_complement: bool,
) -> float:
    """What one output's columns make of one input vector, in the unit of the ADC's steps; in levels without one.

    The grid is that of the ADC, or conductances.
    """
    cells, offset, levels = grid if isinstance(grid, tuple) else (grid, None, None)
    total = 0.0
    for s in range(len(bits_of_slices(setup))):
        of_slice = 0.0
        for k, block in enumerate(blocks_of_rows(setup)):
            for bit in range(input_bits):
                # Python shifts negative numbers as two's complement does.
                current = sum(cells[group, r, s, output] for r in block if (vector[r] >> bit) & 1)
                if adc is not None and offset is not None:
                    lowest = adc.lowest[s]
                    reading = round(float(current + offset[k, group, s, output]))
                    if levels is not None:
                        reading = lowest + int((current - lowest >= levels[k, group, s, output]).sum())
                    current = min(max(reading, lowest), lowest + 2**adc.bits - 1)
                negative = twos_complement and bit == input_bits - 1
                of_slice += (-1 if negative else 1) * 2**bit * current
        # Steps are the unit times powers of two, so that this sum is exact in units.
        of_slice *= 1.0 if adc is None else adc.steps[s] / adc.unit
        total += 2 ** (setup.cell_bits * s) * of_slice
    return total


def offset_corrections(
    setup: Setup, vectors: np.ndarray, input_bits: int, conductance: np.ndarray, adc: Adc, twos_complement: bool
) -> np.ndarray:
    """What offsets of ADCs add to an output in the mean over input vectors: whole numbers of units.

    Args:
        vectors: What is meant by the codes [groups, vectors, rows].

    Returns:
        [groups, outputs].
    """
    outputs, n = conductance.shape[3], vectors.shape[1]
    exact = replace(adc, offset=np.zeros_like(adc.offset), levels=None)
    found = np.zeros((setup.groups, outputs))
    with_offsets, without = on_grid(setup, conductance, adc), on_grid(setup, conductance, exact)
    for group, output in np.ndindex(*found.shape):
        shift = 0.0
        for vector in vectors[group].tolist():
            shift += vector_sum(setup, vector, group, output, input_bits, with_offsets, adc, twos_complement)
            shift -= vector_sum(setup, vector, group, output, input_bits, without, exact, twos_complement)
        found[group, output] = round(shift / n)
    return found


def layer_sums(
    setup: Setup,
    codes: np.ndarray,
    zero_point: int,
    input_bits: int,
    conductance: np.ndarray,
    adc: Adc | None,
    twos_complement: bool,
    gain: float,
    corrections: np.ndarray | None,
) -> np.ndarray:
    """`sum of weight * (code - zero_point)` as the crossbars compute it.

    Args:
        codes: Input codes [n, channels, h, w].
        conductance: [groups, rows, slices, outputs], in levels.
        adc: None converts nothing.
        twos_complement: How `code - zero_point` is fed.
        gain: Factor that makes up for what conductances have lost.
        corrections: Subtracted from the sums of readings, see `offset_corrections`; None: nothing.

    Returns:
        [n, out, out_h, out_w], float64.
    """
    n, _, height, width = codes.shape
    outputs, per_group, kh, kw = setup.weight.shape
    (sh, sw), (ph, pw), (dh, dw) = setup.stride, setup.padding, setup.dilation
    out_height = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_width = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    sizes = bits_of_slices(setup)
    grid = conductance.astype(np.float64) if adc is None else on_grid(setup, conductance, adc)
    left = 0
    if not setup.differential:
        left = -(2 ** (setup.weight_bits - 1))
        if setup.middle:
            left += sum(2 ** (size - 1) << (setup.cell_bits * s) for s, size in enumerate(sizes))
    result = np.zeros((n, outputs, out_height, out_width))
    for image in range(n):
        for y in range(out_height):
            for x in range(out_width):
                for output in range(outputs):
                    group, place = divmod(output, outputs // setup.groups)
                    vector = []
                    for i in range(kh):
                        for j in range(kw):
                            row, column = y * sh + i * dh - ph, x * sw + j * dw - pw
                            inside = 0 <= row < height and 0 <= column < width
                            for c in range(per_group):
                                code = codes[image, group * per_group + c, row, column] if inside else zero_point
                                vector.append(int(code) - (zero_point if twos_complement else 0))
                    total = vector_sum(setup, vector, group, place, input_bits, grid, adc, twos_complement)
                    if corrections is not None:
                        total -= corrections[group, place]
                    total *= gain if adc is None else adc.unit * gain
                    total += left * sum(vector)
                    if not twos_complement:
                        total -= zero_point * sum(row_weights(setup, group, place))
                    result[image, output, y, x] = total
    return result


LAYERS = {
    "plain": QuantConv2d(3, 5, 3, bias=True),
    "stride-and-padding": QuantConv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 2), bias=False),
    "dilation": QuantConv2d(2, 3, (2, 3), padding=1, dilation=(2, 1), bias=False),
    "groups": QuantConv2d(6, 4, 3, padding=1, groups=2, bias=False),
    "depthwise": QuantConv2d(4, 8, 3, stride=2, padding=1, groups=4, bias=False),
    "signed-input": QuantConv2d(3, 4, 3, padding=1, signed_input=True, bias=False),
    "linear": QuantLinear(21, 6),
}

CHIPS = {
    # weight_bits, cell_bits, rows, columns, mapping
    "4-bit cells": (8, 4, 8, 8, "conventional"),
    "uneven slices": (7, 3, 10, 8, "novel"),
    "1-bit cells": (4, 1, 64, 8, "conventional"),
}

SETTINGS: dict[str, dict[str, Any]] = {
    "offset, middle, calibrated": {"adc_tail": 0.01},
    "offset, varying middle, calibrated": {"adc_tail": 0.01, "reference_variation": True},
    "offset, varying off, full scale": {"reference": "off", "adc_range": "full_scale", "reference_variation": True},
    "offset, no ADC": {"adc_range": "unbounded"},
    "differential, calibrated": {"encoding": "differential", "adc_tail": 0.01},
    "differential, full scale": {"encoding": "differential", "adc_range": "full_scale"},
}


def inputs_for(layer: QuantLayer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (3, 21) if isinstance(layer, QuantLinear) else (2, layer.in_channels, 5, 4)
    x = torch.randn(shape, generator=generator)
    return x if layer.signed_input else x.relu()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("chip_values", CHIPS.values(), ids=CHIPS)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_layer_equals_loops(layer: QuantLayer, chip_values: tuple, settings: dict[str, Any], sigma: float) -> None:
    check(layer, chip_values, settings, {"programming_sigma": sigma}, ideal_cells=sigma == 0)


POLYNOMIAL = {"programming_polynomial": (0.01, 0.08, -0.05)}
STATES = {
    bits: {"programming_states": [{"mean_us": 4 + 3 * i + (i % 2), "sigma_us": 0.2 + 0.1 * i} for i in range(2**bits)]}
    for bits in (1, 3, 4)
}
WIRES = {"ir_drop": True, "row_wire_ohm": 20.0, "column_wire_ohm": 7.0, "driver_ohm": 300.0, "sense_ohm": 150.0}
LATER: dict[str, Any] = {"seconds_since_programming": 1e4}
PCM = {"drift_nu": 0.05, "drift_nu_sigma": 0.03, "drift_t0_s": 20.0}
BY_STATE = {
    "drift_nu": [[0.1, 0.12], [0.4, 0.06], [0.9, 0.05]],
    "drift_nu_sigma": [[0.2, 0.04], [0.8, 0.01]],
    "read_noise_1f": [[0.05, 0.03], [0.3, 0.02], [1, 0.01]],
    "read_time_s": 1e-6,
}
RETENTION = {"relaxation_per_decade": -0.01, "relaxation_sigma_per_decade": 0.01}
FAULTS = {"stuck_on_rate": 0.05, "stuck_off_rate": 0.1}
ADC = {"adc_offset_sigma": 0.8, "adc_gain_sigma": 0.06}
ALL = {**LATER, **WIRES, **ADC, "reference_variation": True}

EFFECTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # settings, device
    "absolute variation": ({}, {"programming_sigma_absolute": 0.03}),
    "polynomial": ({}, POLYNOMIAL),
    "states": ({}, {"states": True}),
    "on/off ratio": ({"finite_on_off": False}, {}),
    "drift": (LATER, PCM),
    "drift and 1/f noise by state": (LATER, {**PCM, **BY_STATE}),
    "1/f noise at once": ({"reference_variation": True}, {"read_noise_1f": 0.02}),
    "retention": (LATER, RETENTION),
    "faults": ({"reference_variation": True}, FAULTS),
    "wires": (WIRES, {"access_resistance_ohm": 1000.0}),
    "uncompensated wires and drift": ({**WIRES, **LATER, "gain_compensation": False}, PCM),
    "ADC errors": (ADC, {}),
    "flash ADC errors": ({**ADC, "adc_type": "flash"}, {}),
    "uncompensated ADC errors": ({**ADC, "adc_offset_compensation": False}, {}),
    "two's complement": ({"signed_inputs": "twos_complement"}, {}),
    "all": (ALL, {**POLYNOMIAL, **PCM, **RETENTION, **FAULTS}),
    "all, differential": (
        {**ALL, "encoding": "differential"},
        {"states": True, **PCM, **BY_STATE, **RETENTION, **FAULTS},
    ),
}


@pytest.mark.parametrize("name", ["stride-and-padding", "groups", "signed-input", "linear"])
@pytest.mark.parametrize("chip_values", CHIPS.values(), ids=CHIPS)
@pytest.mark.parametrize("effects", EFFECTS.values(), ids=EFFECTS)
def test_every_effect_equals_loops(name: str, chip_values: tuple, effects: tuple[dict, dict]) -> None:
    settings, device = effects
    if device.get("states"):
        device = {key: value for key, value in device.items() if key != "states"} | STATES[chip_values[1]]
    check(LAYERS[name], chip_values, {"adc_tail": 0.01, **settings}, device, ideal_cells=False)


def check(
    layer: QuantLayer, chip_values: tuple, values: dict[str, Any], device_values: dict, *, ideal_cells: bool
) -> None:
    """A layer's outputs equal the loops' to the bit, and its conductances (integers if ideal) to float32's rounding."""
    weight_bits, cell_bits, rows, columns, mapping = chip_values
    adc_type = values.get("adc_type", "sar")
    outside = {"encoding", "adc_type"}
    settings = AnalogSettings.model_validate({name: value for name, value in values.items() if name not in outside})
    chip = Chip(
        rows=rows,
        columns=columns,
        weight_bits=weight_bits,
        mapping=mapping,
        device=Device(cell_bits=cell_bits, **device_values),
        encoding=values.get("encoding", "offset"),
        analog=settings,
    )
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(5)))
    x = inputs_for(layer)
    calibrate_quantisers(torch.nn.Sequential(layer), x)
    analog = AnalogLayer(layer, chip, Periphery(adc_type=adc_type, adc_bits=4, input_bits=5, columns_per_adc=3)).eval()
    analog.calibrate_adcs(analog.sample_inputs(x, 16))
    analog.program(torch.Generator().manual_seed(7))

    convolution = isinstance(layer, QuantConv2d)
    weight = layer.integer_weight()
    setup = Setup(
        weight=weight.value.numpy() if convolution else weight.value.numpy()[:, :, None, None],
        weight_bits=weight_bits,
        cell_bits=cell_bits,
        rows=rows,
        columns=columns,
        device=chip.device,
        settings=settings,
        columns_per_adc=3,
        flash=adc_type == "flash",
        differential=chip.encoding == "differential",
        middle=settings.reference == "middle",
        reference_varies=settings.reference_variation,
        novel=mapping == "novel",
        stride=layer.stride if convolution else (1, 1),
        padding=layer.padding if convolution else (0, 0),
        dilation=layer.dilation if convolution else (1, 1),
        groups=layer.groups if convolution else 1,
    )
    draws = Streams(torch.Generator().manual_seed(7))
    expected_conductance, gain = conductances(setup, draws)
    np.testing.assert_allclose(analog.conductance[0].numpy(), expected_conductance, rtol=1e-6, atol=1e-6)
    assert analog.gain.item() == pytest.approx(gain, rel=1e-10)

    code = layer.input_code(x)
    codes = code.value.numpy() if convolution else code.value.numpy()[:, :, None, None]
    adc = None
    if settings.adc_range != "unbounded":
        found = analog.adc_range
        offset, relative, levels = adc_errors(setup, draws, 2**found.bits - 1)
        adc = Adc(found.bits, found.unit, list(found.steps), list(found.lowest), offset, relative, levels)
    twos_complement = layer.signed_input and settings.signed_inputs == "twos_complement"
    corrections = None
    if adc is not None and settings.adc_offset_compensation:
        vectors = layer.input_code(analog.samples).value.int().numpy()
        vectors = vectors - int(code.zero_point) if twos_complement else vectors
        corrections = offset_corrections(setup, vectors, 5, analog.conductance[0].numpy(), adc, twos_complement)
    sums = torch.from_numpy(
        layer_sums(
            setup,
            codes,
            int(code.zero_point),
            5,
            analog.conductance[0].numpy(),
            adc,
            twos_complement,
            analog.gain.item(),
            corrections,
        )
    )
    expected = (sums * (code.scale.double() * weight.scale.double())).float()
    if layer.bias is not None:
        expected += layer.bias.detach().reshape(-1, 1, 1)
    with torch.no_grad():
        output = analog(x)
    assert torch.equal(output, expected.reshape(output.shape))
    assert torch.equal(analog.conductance, analog.conductance.round()) == ideal_cells
