"""The layers against the analog model written as loops over everything, straight from docs/analog-model.md.

The loops share nothing with `xpert.analog`: weights are encoded, programmed and put on the grid again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from xpert.analog import AnalogLayer, AnalogSettings
from xpert.design import Chip, Device, Periphery
from xpert.networks.quantised import QuantConv2d, QuantLayer, QuantLinear, calibrate


@dataclass
class Setup:
    """What the reference needs to know of a layer, spelled out."""

    weight: np.ndarray  # integers [out, in / groups, kh, kw]
    weight_bits: int
    cell_bits: int
    rows: int
    columns: int
    on_off_ratio: float
    sigma: float
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


def conductances(setup: Setup, generator: torch.Generator | None) -> np.ndarray:
    """[groups, rows, slices, outputs], in levels, reference subtracted."""
    sizes = bits_of_slices(setup)
    outputs = setup.weight.shape[0] // setup.groups
    length = math.prod(setup.weight.shape[1:])
    shape = (setup.groups, length, len(sizes), outputs)
    pedestal = (2**setup.cell_bits - 1) / (setup.on_off_ratio - 1)
    per_crossbar = 1 if setup.differential else max(1, setup.columns // len(sizes))
    n_references = math.ceil(outputs / per_crossbar)
    noise = reference_noise = None
    if generator is not None:
        noise = torch.randn(shape, generator=generator).numpy()
        reference_noise = np.zeros((*shape[:3], n_references), np.float32)
        if setup.differential or setup.reference_varies:
            reference_noise = torch.randn((*shape[:3], n_references), generator=generator).numpy()
    result = np.zeros(shape, np.float32)
    for g in range(setup.groups):
        for o in range(outputs):
            for r, w in enumerate(row_weights(setup, g, o)):
                for s, size in enumerate(sizes):
                    shift = setup.cell_bits * s
                    if setup.differential:
                        data, reference = (max(w, 0) >> shift) % 2**size, (max(-w, 0) >> shift) % 2**size
                    else:
                        data = ((w + 2 ** (setup.weight_bits - 1)) >> shift) % 2**size
                        reference = 2 ** (size - 1) if setup.middle else 0
                    value = np.float32(data - reference)
                    if noise is not None and reference_noise is not None:
                        for code, normal, sign in (
                            (data, noise[g, r, s, o], 1),
                            (reference, reference_noise[g, r, s, o // per_crossbar], -1),
                        ):
                            relative = max(np.float32(normal) * np.float32(setup.sigma), np.float32(-1))
                            value += sign * relative * np.float32(np.float32(code) + np.float32(pedestal))
                    result[g, r, s, o] = value
    return result


def grid(
    conductance: np.ndarray, steps: list[float], lowest: list[int], adc_bits: int, blocks: list[list[int]]
) -> np.ndarray:
    """Conductances in ADC steps, rounded to the common binary grid."""
    scaled = (conductance / np.array(steps, np.float32).reshape(1, 1, -1, 1)).astype(np.float64)
    middle = np.array(lowest).reshape(1, -1, 1) + 2 ** (adc_bits - 1)
    rows = max(map(len, blocks))
    bound = 2.0 ** (adc_bits - 1)
    for block in blocks:
        for ends in (scaled[:, block].clip(min=0), scaled[:, block].clip(max=0)):
            bound = max(bound, float(np.abs(ends.sum(axis=1) - middle).max()) + 0.5 + rows / 256)
    digits = max(f for f in range(15) if 2**f * bound < 2**15)
    if math.sqrt(rows / 12) / 2**digits > 1 / 32:
        digits += 8
    return np.rint(scaled * 2**digits) / 2**digits


def layer_sums(
    setup: Setup,
    codes: np.ndarray,
    zero_point: int,
    input_bits: int,
    conductance: np.ndarray,
    adc: tuple[int, list[float], list[int]] | None,
) -> np.ndarray:
    """`sum of weight * (code - zero_point)` as the crossbars compute it.

    Args:
        codes: Input codes [n, channels, h, w].
        conductance: [groups, rows, slices, outputs], in levels.
        adc: Bits, step of each slice in levels, lowest reading of each slice; None converts nothing.

    Returns:
        [n, out, out_h, out_w], float64.
    """
    n, _, height, width = codes.shape
    outputs, per_group, kh, kw = setup.weight.shape
    (sh, sw), (ph, pw), (dh, dw) = setup.stride, setup.padding, setup.dilation
    out_height = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_width = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    sizes, blocks = bits_of_slices(setup), blocks_of_rows(setup)
    cells = conductance.astype(np.float64)
    if adc is not None:
        cells = grid(conductance, adc[1], adc[2], adc[0], blocks)
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
                                vector.append(int(code))
                    total = 0.0
                    for s in range(len(sizes)):
                        of_slice = 0.0
                        for block in blocks:
                            for bit in range(input_bits):
                                current = sum(cells[group, r, s, place] for r in block if (vector[r] >> bit) & 1)
                                if adc is not None:
                                    lowest = adc[2][s]
                                    current = min(max(float(np.rint(current)), lowest), lowest + 2 ** adc[0] - 1)
                                of_slice += 2**bit * current
                        # Steps of the slices differ by powers of two, so that this sum is exact in steps of the finest.
                        finest = 1.0 if adc is None else min(adc[1])
                        of_slice *= 1.0 if adc is None else adc[1][s] / finest
                        total += 2 ** (setup.cell_bits * s) * of_slice
                    if adc is not None:
                        total *= min(adc[1])
                    total += left * sum(vector)
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

SETTINGS = {
    "offset, middle, calibrated": AnalogSettings(adc_tail=0.01),
    "offset, varying middle, calibrated": AnalogSettings(adc_tail=0.01, reference_variation=True),
    "offset, varying off, full scale": AnalogSettings(
        reference="off", adc_range="full_scale", reference_variation=True
    ),
    "offset, no ADC": AnalogSettings(adc_range="unbounded"),
    "differential, calibrated": AnalogSettings(encoding="differential", adc_tail=0.01),
    "differential, full scale": AnalogSettings(encoding="differential", adc_range="full_scale"),
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
def test_layer_equals_loops(layer: QuantLayer, chip_values: tuple, settings: AnalogSettings, sigma: float) -> None:
    weight_bits, cell_bits, rows, columns, mapping = chip_values
    chip = Chip(
        rows=rows,
        columns=columns,
        weight_bits=weight_bits,
        mapping=mapping,
        device=Device(cell_bits=cell_bits, programming_sigma=sigma),
    )
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(5)))
    x = inputs_for(layer)
    calibrate(torch.nn.Sequential(layer), x)
    analog = AnalogLayer(layer, chip, Periphery(adc_bits=4, input_bits=5), settings)
    analog.calibrate(analog.sample_inputs(x, 16))
    analog.program(torch.Generator().manual_seed(7))

    convolution = isinstance(layer, QuantConv2d)
    weight = layer.integer_weight()
    setup = Setup(
        weight=weight.value.numpy() if convolution else weight.value.numpy()[:, :, None, None],
        weight_bits=weight_bits,
        cell_bits=cell_bits,
        rows=rows,
        columns=columns,
        on_off_ratio=chip.device.on_off_ratio,
        sigma=sigma,
        differential=settings.encoding == "differential",
        middle=settings.reference == "middle",
        reference_varies=settings.reference_variation,
        novel=mapping == "novel",
        stride=layer.stride if convolution else (1, 1),
        padding=layer.padding if convolution else (0, 0),
        dilation=layer.dilation if convolution else (1, 1),
        groups=layer.groups if convolution else 1,
    )
    conductance = conductances(setup, torch.Generator().manual_seed(7) if sigma else None)
    np.testing.assert_array_equal(analog.conductance.numpy(), conductance)

    code = layer.input_code(x)
    codes = code.value.numpy() if convolution else code.value.numpy()[:, :, None, None]
    adc = None
    if settings.adc_range != "unbounded":
        adc = (analog.adc_range.bits, list(analog.adc_range.steps), list(analog.adc_range.lowest))
    sums = torch.from_numpy(layer_sums(setup, codes, int(code.zero_point), 5, conductance, adc))
    expected = (sums * (code.scale.double() * weight.scale.double())).float()
    if layer.bias is not None:
        expected += layer.bias.detach().reshape(-1, 1, 1)
    with torch.no_grad():
        output = analog(x)
    assert torch.equal(output, expected.reshape(output.shape))
    if sigma:
        assert not torch.equal(output, layer(x))
