from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from xpert.networks import build, space
from xpert.training import Dataset


@pytest.fixture(scope="session")
def stripes() -> Dataset:
    """Two classes that a small network learns in a few epochs: horizontal and vertical stripes, with noise."""
    generator = torch.Generator().manual_seed(0)
    n = 160
    labels = torch.arange(n) % 2
    waves = (torch.arange(16) % 4 < 2).float() * 150
    horizontal = waves[:, None].expand(16, 16)
    images = torch.where(labels[:, None, None] == 0, horizontal, horizontal.T)[:, None]
    images = (images + 100 * torch.rand(n, 1, 16, 16, generator=generator)).to(torch.uint8)
    return Dataset(
        name="stripes",
        classes=("horizontal", "vertical"),
        mean=(0.5,),
        std=(0.3,),
        mirror=True,
        train_images=images[:96],
        train_labels=labels[:96],
        validation_images=images[96:128],
        validation_labels=labels[96:128],
        test_images=images[128:],
        test_labels=labels[128:],
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[[], nn.Module]:
    """Makes VGG11 with 4 to 8 channels for the stripes, always with the same weights."""
    network = space("vgg11", (4, 8), (1, 16, 16), 2).network((4, 4, 4, 4, 8, 8, 8, 8))
    return lambda: build(network, input_bits=6)
