"""The networks of MLPerf Tiny, as the benchmarks have them; and what tracing costs beside the work itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tiny_networks import TINY
from xpert.workload.trace import trace

# Of the reference models of mlcommons/tiny: products of all layers, and weights without biases and batch norms.
PUBLISHED = {
    "DS-CNN (keyword spotting)": (2_656_768, 22_016),
    "MobileNetV1 0.25 (visual wake words)": (7_489_664, 208_112),
    "ResNet-8 (image classification)": (12_501_632, 77_360),
    "autoencoder (anomaly detection)": (264_192, 264_192),
}


@pytest.mark.parametrize("name", TINY)
def test_the_networks_are_the_published_ones(name: str) -> None:
    layers = trace(TINY[name]().eval(), TINY[name].input_shape)
    assert (sum(layer.macs for layer in layers), sum(layer.weights for layer in layers)) == PUBLISHED[name]


def test_tracing_does_not_import_torchs_compiler() -> None:
    """It takes a second, thirty times what the trace of a small network does."""
    code = (
        "import sys; from benchmarks.tiny_networks import TINY; from xpert.workload.trace import trace; "
        "made = TINY['ResNet-8 (image classification)']; trace(made().eval(), made.input_shape); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
