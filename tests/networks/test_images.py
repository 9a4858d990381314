from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from xpert.networks.images import NormalisedImages, normalised

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)

PEAKS = """
import resource
import torch
from torch import nn
from xpert.networks.images import NormalisedImages, normalised
from xpert.training import accuracy

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

images = torch.zeros(10_000, 3, 64, 64, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
labels, statistics = torch.zeros(10_000).long(), [[0.5] * 3] * 2
model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2))
accuracy(model, normalised(images[:128], *statistics), labels[:128], 128)  # what any batch takes
start = peak()
accuracy(model, NormalisedImages(images, *statistics), labels, 128)
by_batch = peak()
accuracy(model, normalised(images, *statistics), labels, 128)
print(by_batch - start, peak() - start)
"""


@pytest.mark.parametrize("size", [1, 7, 20, 64])
def test_batches_are_those_of_all_images_to_the_bit(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 8, 8), generator=generator).to(torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    found, whole = NormalisedImages(images, MEAN, STD), normalised(images, MEAN, STD)
    assert len(found) == 20
    batches = list(found.split(size))
    assert [len(batch) for batch in batches] == [len(batch) for batch in whole.split(size)]
    for batch, expected in zip(batches, whole.split(size)):
        assert torch.equal(batch, expected)
        assert batch.stride() == expected.stride()


def test_images_stay_bytes() -> None:
    """10 000 images of 64 x 64 pixels take a few batches more; at once 491 MB, and as much in passing.

    The system's allocator may hold on to some batches, up to 155 MB in twenty runs.
    """
    found = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    by_batch, at_once = map(int, found.stdout.split())
    as_floats = 4 * 10_000 * 3 * 64 * 64
    assert at_once > as_floats
    assert by_batch < 0.5 * as_floats
