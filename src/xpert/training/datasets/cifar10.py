"""CIFAR-10 in its official binary layout; downloaded where it is missing.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from pathlib import Path

from xpert.progress import Report
from xpert.training.datasets._cifar import Archive, read
from xpert.training.source import DatasetInfo, DataSource, RawImages

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_ARCHIVE = Archive(
    title="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train={f"data_batch_{number}.bin": 10_000 for number in range(1, 6)},
    test={"test_batch.bin": 10_000},
    labels={"label": len(_CLASSES)},
)


def _load(data_dir: Path, progress: Report | None) -> RawImages:
    return read(_ARCHIVE, data_dir, progress)


DATASET = DataSource(
    DatasetInfo(
        name="cifar10",
        input_shape=(3, 32, 32),
        classes=_CLASSES,
        mirror=True,
        # Of the training images.
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    _load,
)

__all__ = ["DATASET"]
