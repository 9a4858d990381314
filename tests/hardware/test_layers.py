"""Layers as matrix-vector work."""

from __future__ import annotations

import numpy as np
import pytest

from xpert.design import Layer
from xpert.errors import ConfigError
from xpert.workload.layers import Workload


def test_shapes_by_hand(conv):
    work = Workload.from_layers(
        [
            conv("plain", (3, 64), 32),
            conv("strided", (64, 128), 32, stride=2),
            conv("grouped", (64, 128), 9, groups=32, stride=2, padding=0),
            Layer(name="linear", kind="linear", in_channels=512, out_channels=10),
        ]
    )
    assert work.depth == 4
    assert work.matrix_rows.tolist() == [27, 576, 18, 512]
    assert work.matrix_columns.tolist() == [64, 128, 4, 10]
    assert work.positions.tolist() == [1024, 256, 16, 1]
    assert work.weights.tolist() == [27 * 64, 576 * 128, 18 * 128, 5120]
    assert work.in_height.tolist() == [34, 34, 9, 1]  # padded


def test_agrees_with_the_design(small):
    work = Workload.from_network(small)
    assert work.macs.tolist() == [layer.macs for layer in small.layers]
    assert work.weights.tolist() == [layer.weights for layer in small.layers]


def test_batches(small):
    work = Workload.from_network(small)
    both = Workload.stack([work, work])
    assert both.shape == (2, 4)
    wide = work.with_channels(np.array([[3, 32, 64, 128], [3, 64, 128, 400]]), [[32, 64, 128, 10], [64, 128, 400, 10]])
    assert wide.macs[1].tolist() == work.macs.tolist()
    assert wide[0].weights.tolist() == [27 * 32, 288 * 64, 576 * 128, 1280]
    assert wide.kernel_area.shape == (2, 4)


def test_networks_of_different_depth_are_no_batch(small):
    work = Workload.from_network(small)
    with pytest.raises(ConfigError, match=r"one depth, got depths \[2, 4\]"):
        Workload.stack([work, work[:2]])
    with pytest.raises(ConfigError, match=r"got depths \[\]"):
        Workload.stack([])
