"""From a torch module to its chip: strides, groups, skip connections and pooling, with what is expected on paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xpert.design import Chip, Design, Network, Periphery
from xpert.hardware import Evaluation, evaluate
from xpert.workload.trace import trace


class Mixed(nn.Module):
    """A residual block with a strided shortcut, then a depthwise separable convolution, pooling and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.same = nn.Conv2d(32, 32, 3, padding=1)
        self.skip = nn.Conv2d(16, 32, 1, stride=2)
        self.deep = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.point = nn.Conv2d(32, 64, 1)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.same(self.down(x).relu()) + self.skip(x)).relu()
        x = torch.max_pool2d(self.point(self.deep(x)).relu(), 2)
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(backbone="custom", input_shape=(3, 32, 32), layers=trace(Mixed(), (3, 32, 32)))


@pytest.fixture(scope="module")
def chip(network: Network) -> Evaluation:
    """64 x 64 cells, two for a weight, 8 x 8 crossbars in a tile; 8 columns per ADC and 8 input bits."""
    return evaluate(Design.homogeneous(network, Chip(), Periphery(columns_per_adc=8, input_bits=8)))


def test_what_the_trace_finds(network: Network) -> None:
    assert [layer.name for layer in network.layers] == ["stem", "down", "same", "skip", "deep", "point", "head"]
    assert [layer.out_height for layer in network.layers] == [32, 16, 16, 16, 16, 16, 1]
    # The sum and its ReLU are the shortcut's, which runs last; windows of 2, then of what is left, 8.
    assert [layer.residual for layer in network.layers] == [False, False, False, True, False, False, False]
    assert [layer.relu for layer in network.layers] == [True, True, False, True, False, True, False]
    assert [layer.pool for layer in network.layers] == [1, 1, 1, 1, 1, 16, 1]


def test_work_on_paper(chip: Evaluation) -> None:
    # weights x positions; the depthwise layer has one filter of 9 weights per channel
    macs = [432 * 1024, 4608 * 256, 9216 * 256, 512 * 256, 288 * 256, 2048 * 256, 640]
    assert chip.workload.macs.tolist() == macs
    assert chip.operations == 2 * sum(macs)


def test_tiles_and_copies_on_paper(chip: Evaluation) -> None:
    # Crossbars (down, across): stem 27 rows x 32 columns (1, 1), down 144 x 64 (3, 1), same 288 x 64 (5, 1), skip
    # (1, 1), deep 32 groups of 9 x 2 in crossbars of their own (1, 32), point 32 x 128 (1, 2), head 64 x 20 (1, 1).
    assert chip.tiles.tolist() == [1, 1, 1, 1, 4, 1, 1]
    # A matrix is copied over whole PEs of 2 x 2 crossbars, then within a PE.
    down, across = [8, 2, 1, 8, 8, 8, 8], [8, 8, 8, 8, 1, 4, 8]
    assert chip.speed_up.tolist() == [a * b for a, b in zip(down, across, strict=True)]
    deep = 288 * 2 * 8 / (4 * 512 * 512)
    assert chip.utilization[4] == pytest.approx(deep)


def test_conversion_time_on_paper(chip: Evaluation) -> None:
    positions = np.array([1024, 256, 256, 256, 256, 256, 1])
    expected = positions * 8 * 8 * chip.sensing_period / chip.speed_up
    assert np.broadcast_to(chip.layers.latency.adc, 7) == pytest.approx(expected)


def test_only_what_follows_a_layer_is_paid_for(chip: Evaluation, network: Network) -> None:
    def energies(**changes: Any) -> np.ndarray:
        layers = tuple(layer.replace(**changes) for layer in network.layers)
        design = Design.homogeneous(network.replace(layers=layers), Chip(), Periphery(columns_per_adc=8, input_bits=8))
        return np.broadcast_to(evaluate(design).layers.energy.digital, 7)

    digital = np.broadcast_to(chip.layers.energy.digital, 7)
    # Neither ReLU nor pooling nor a sum follows `same`, `deep` and `head`: what they pay is for their own sums.
    bare = energies(relu=False, pool=1, residual=False)
    assert (digital > bare * (1 + 1e-9)).tolist() == [True, True, False, True, False, True, False]
    layers = [layer.replace(residual=False) for layer in network.layers]
    plain = evaluate(Design.homogeneous(network.replace(layers=tuple(layers)), Chip(), Periphery()))
    without = np.broadcast_to(plain.layers.energy.digital, 7)
    assert digital[3] > without[3]
    assert digital[1] == without[1]


def test_any_of_it_runs_on_any_chip(network: Network) -> None:
    for chip in (Chip(mapping="novel"), Chip(subarrays_per_pe=None, pes_per_tile=None), Chip(synchronous=False)):
        figures = evaluate(Design.homogeneous(network, chip, Periphery(adc_type="flash"))).to_dict()
        assert all(np.isfinite(layer["energy_uj"]) and layer["latency_us"] > 0 for layer in figures["layers"])
