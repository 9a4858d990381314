"""Designs and reference rows for the tests of the hardware model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.design import Layer, Network


@pytest.fixture(scope="session")
def reference_rows(shared: Path) -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a reference file by its stem."""

    def rows(stem: str) -> list[dict[str, Any]]:
        with gzip.open(shared / "reference" / f"{stem}.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    return rows


def _conv(name: str, channels: tuple[int, int], size: int, pool: int = 1, **more: Any) -> Layer:
    shape: dict[str, Any] = {"in_height": size, "in_width": size, "kernel_height": 3, "kernel_width": 3, "padding": 1}
    return Layer(name=name, in_channels=channels[0], out_channels=channels[1], pool=pool, **(shape | more))


@pytest.fixture(scope="session")
def conv() -> Callable[..., Layer]:
    """A 3x3 convolution with padding 1: name, (input, output) channels, size of the map, pooling."""
    return _conv


@pytest.fixture(scope="session")
def small() -> Network:
    """Three convolutions and a classifier, with a partly filled crossbar and one matrix over several tiles."""
    return Network(
        backbone="custom",
        layers=(
            _conv("first", (3, 64), 16),
            _conv("second", (64, 128), 16, pool=2),
            _conv("third", (128, 400), 8, pool=8),
            Layer(name="last", kind="linear", in_channels=400, out_channels=10, relu=False),
        ),
    )


@pytest.fixture(scope="session")
def vgg16() -> Network:
    """VGG16 for images of 32 x 32 as in the reference rows: 13 convolutions and two linear layers."""
    widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    sizes = (32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2)
    pooled = (1, 3, 6, 9, 12)
    layers = [
        _conv(f"conv{k}", pair, size, pool=2 if k in pooled else 1)
        for k, (pair, size) in enumerate(zip(zip((3, *widths), widths), sizes))
    ]
    layers.append(Layer(name="linear0", kind="linear", in_channels=512, out_channels=512))
    layers.append(Layer(name="linear1", kind="linear", in_channels=512, out_channels=10))
    return Network(backbone="vgg16", layers=tuple(layers))
