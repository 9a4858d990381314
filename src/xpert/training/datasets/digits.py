"""1797 handwritten digits of 8x8 pixels that scikit-learn ships, enlarged to 32x32, from which they were once reduced.

One fifth of each class is for the test.
"""

from __future__ import annotations

from pathlib import Path

from xpert.progress import Report
from xpert.training.source import DatasetInfo, DataSource, RawImages

_TEST_SHARE = 0.2


def _load(_data_dir: Path, _progress: Report | None) -> RawImages:
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from torch.nn import functional as F

    from xpert.training.splits import stratified

    pixels, digits = load_digits(return_X_y=True)
    small = torch.from_numpy(np.asarray(pixels, np.float32).reshape(-1, 1, 8, 8))
    large = F.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False) * (255 / 16)
    images = large.round().to(torch.uint8).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(np.asarray(digits, np.int64))
    train, test = stratified(labels, _TEST_SHARE, seed=0)
    return RawImages(images[train], labels[train], images[test], labels[test])


DATASET = DataSource(
    DatasetInfo(
        name="digits",
        input_shape=(1, 32, 32),
        classes=tuple(str(digit) for digit in range(10)),
        mirror=False,
        # In float32, over the training images.
        mean=(0.30488333106040955,),
        std=(0.3235887587070465,),
    ),
    _load,
)

__all__ = ["DATASET"]
