"""The four networks of MLPerf Tiny, from their published descriptions, untrained.

Source: Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021 Datasets and Benchmarks (arXiv 2106.07597), table 2, and
the reference models of mlcommons/tiny, benchmark/training.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def _block(inputs: int, outputs: int, kernel: int | tuple[int, int], **conv: object) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, bias=False, **conv),  # pyright: ignore[reportArgumentType]
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution."""
    return nn.Sequential(_block(inputs, inputs, 3, stride=stride, padding=1, groups=inputs), _block(inputs, outputs, 1))


class KeywordSpotting(nn.Sequential):
    """DS-CNN: 49 frames of 10 MFCCs to 12 words; 64 channels, 4 separable blocks, a global average of 25 x 5 pixels."""

    input_shape = (1, 49, 10)

    def __init__(self) -> None:
        super().__init__(
            _block(1, 64, (10, 4), stride=2, padding=(5, 1)),
            *(_separable(64, 64) for _ in range(4)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 12),
        )


class VisualWakeWords(nn.Sequential):
    """MobileNetV1 with a quarter of the channels: 96 x 96 colour images to person or none."""

    input_shape = (3, 96, 96)

    def __init__(self) -> None:
        widths = [8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256]
        strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
        pairs = zip(widths, widths[1:], strides, strict=False)
        super().__init__(
            _block(3, 8, 3, stride=2, padding=1),
            *(_separable(inputs, outputs, stride) for inputs, outputs, stride in pairs),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(256, 2),
        )


class _Residual(nn.Module):
    """Two 3x3 convolutions, and a shortcut, 1x1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _block(inputs, outputs, 3, stride=stride, padding=1)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        changed = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class ImageClassification(nn.Sequential):
    """ResNet of three blocks of 16, 32 and 64 channels: 32 x 32 colour images to 10 classes (CIFAR-10)."""

    input_shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__(
            _block(3, 16, 3, padding=1),
            _Residual(16, 16, 1),
            _Residual(16, 32, 2),
            _Residual(32, 64, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 10),
        )


class AnomalyDetection(nn.Sequential):
    """Autoencoder of 5 frames of 128 mel bands: four layers of 128, a bottleneck of 8, four of 128, 640 outputs."""

    input_shape = (640,)

    def __init__(self) -> None:
        widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
        hidden = [
            layer
            for inputs, outputs in pairwise(widths)
            for layer in (nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())
        ]
        super().__init__(*hidden, nn.Linear(128, 640))


TINY = {
    "DS-CNN (keyword spotting)": KeywordSpotting,
    "MobileNetV1 0.25 (visual wake words)": VisualWakeWords,
    "ResNet-8 (image classification)": ImageClassification,
    "autoencoder (anomaly detection)": AnomalyDetection,
}
"""The networks by their names in the benchmark."""
