"""The generator of normal numbers: its exact distribution, and that nothing depends on anything else."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from xpert.analog import gaussian

ONE = 2.0**gaussian.FRACTION


def distribution() -> tuple[np.ndarray, np.ndarray]:
    """Values and probabilities of the weighted sum of two entries of the table."""
    table = np.array(gaussian.TABLE)
    sums = np.add.outer(gaussian.WEIGHTS[0] * table, gaussian.WEIGHTS[1] * table)
    values, counts = np.unique(sums, return_counts=True)
    return values / ONE, counts / sums.size


def test_the_table_is_as_documented() -> None:
    assert tuple(-value for value in reversed(gaussian.TABLE)) == gaussian.TABLE
    assert list(gaussian.TABLE) == sorted(gaussian.TABLE)
    # Bytes, and a sum of products that fits 16 bits whatever is added to what.
    assert max(gaussian.TABLE) < 2**7
    assert sum(gaussian.WEIGHTS) * max(gaussian.TABLE) < 2**15
    x, p = distribution()
    assert p.sum() == pytest.approx(1)
    for odd in (1, 3, 5):
        assert (p * x**odd).sum() == pytest.approx(0, abs=1e-12)
    assert (p * x**2).sum() == pytest.approx(1, abs=1e-5)
    assert (p * x**4).sum() == pytest.approx(3, abs=1e-3)
    assert (p * x**6).sum() == pytest.approx(15, abs=0.15)
    # From below and from above each step.
    steps = np.cumsum(p)
    assert max(np.abs(steps - norm.cdf(x)).max(), np.abs(steps - p - norm.cdf(x)).max()) < 0.001
    assert p.max() < 0.001
    for sigmas, share in ((2, 1.00), (2.5, 1.02), (3, 0.99), (3.5, 1.05)):
        assert p[x > sigmas].sum() / norm.sf(sigmas) == pytest.approx(share, abs=0.01)
    assert x.max() < 4


def draws(n: int, first: int = 0, key: int = 5) -> Tensor:
    """[groups, input bits, positions, columns]."""
    return gaussian.draw([key], torch.arange(first, first + n), 0, 4, 3, 8)[0] / ONE


@pytest.mark.parametrize("first", [0, 2**32 - 1000])
def test_draws_follow_that_distribution(first: int) -> None:
    z = draws(4096, first).flatten().double()
    n = len(z)
    assert abs(float(z.mean())) < 5 / n**0.5
    assert abs(float(z.var()) - 1) < 5 * (2 / n) ** 0.5
    assert abs(float((z**4).mean()) - 3) < 5 * (96 / n) ** 0.5
    x, p = distribution()
    empirical = np.searchsorted(np.sort(z.numpy()), x, side="right") / n
    # The Kolmogorov-Smirnov statistic exceeds 2.3 / sqrt(n) once in 20,000 times.
    assert np.abs(empirical - np.cumsum(p)).max() < 2.3 / n**0.5


def test_neighbours_of_every_kind_are_independent() -> None:
    z = torch.stack(
        [torch.stack([gaussian.draw([key], torch.arange(512), k, 4, 3, 8)[0] for k in range(3)]) for key in (5, 6)]
    )
    z = z / ONE  # [keys, blocks, groups, bits, positions, columns]
    assert len(z.unique()) > 9000
    for axis, distance in itertools.product(range(z.dim()), (1, 2, 4, 16)):
        if distance >= z.shape[axis]:
            continue
        a, b = z.narrow(axis, distance, z.shape[axis] - distance), z.narrow(axis, 0, z.shape[axis] - distance)
        n = a.numel()
        for f, g in itertools.product((lambda x: x, lambda x: (x * x - 1) / math.sqrt(2)), repeat=2):
            assert abs(float((f(a) * g(b)).sum())) < 5 * n**0.5, (axis, distance)


def test_pairs_of_positions_and_columns_are_independent() -> None:
    # What a hash of a position and a hash of a column, mixed too little, would not pass.
    z = draws(2048)
    for shift, step in itertools.product((1, 32, 1000), (1, 2, 4)):
        corners = z[..., :-shift, :-step] * z[..., shift:, :-step] * z[..., :-shift, step:] * z[..., shift:, step:]
        assert abs(float(corners.sum())) < 5 * corners.numel() ** 0.5


def test_a_draw_depends_on_its_place_alone() -> None:
    z = gaussian.draw([9, 4], torch.arange(100), 2, 5, 3, 7)[0]
    assert torch.equal(gaussian.draw([9], torch.arange(40, 50), 2, 2, 1, 3)[0], z[:1, :2, 40:50, :3])
    assert torch.equal(gaussian.draw([3, 9 + 2**64], torch.arange(100), 2, 5, 3, 7)[1], z)
