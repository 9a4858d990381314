"""Training-free scores against networks that are small enough to do by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from xpert.errors import ConfigError
from xpert.networks import build, space
from xpert.search.quality import scores as proxies
from xpert.search.quality.scores import SCORES, score

SPACE = space("vgg11", (4, 8, 16), (3, 16, 16), 10)


def network(*weights: list[list[float]]) -> nn.Sequential:
    """1x1 convolutions with ReLUs between them and one linear layer, all of given weights, without bias."""
    modules: list[nn.Module] = []
    for weight in weights[:-1]:
        layer = nn.Conv2d(len(weight[0]), len(weight), 1, bias=False)
        layer.weight.data = torch.tensor(weight)[:, :, None, None]
        modules += [layer, nn.ReLU(inplace=True)]
    last = nn.Linear(len(weights[-1][0]), len(weights[-1]), bias=False)
    last.weight.data = torch.tensor(weights[-1])
    return nn.Sequential(*modules, nn.Flatten(), last)


def pixels(*values: list[float]) -> torch.Tensor:
    """Images of one pixel."""
    return torch.tensor(values)[:, :, None, None]


def test_naswot() -> None:
    # Units see x and -x: the images +1 and -1 have the codes 10 and 01, which agree nowhere. K = diag(2, 2).
    assert proxies.naswot(network([[1.0], [-1.0]], [[1.0, 1.0]]), pixels([1.0], [-1.0])) == pytest.approx(math.log(4))
    # A third unit that is always off agrees for all: K = [[3, 1], [1, 3]].
    module = network([[1.0], [-1.0], [0.0]], [[1.0, 1.0, 1.0]])
    assert proxies.naswot(module, pixels([1.0], [-1.0])) == pytest.approx(math.log(8))
    assert proxies.naswot(module, pixels([1.0], [2.0])) == -math.inf


def test_swap() -> None:
    # Patterns over the two images: 10, 01, 10 again, and 00.
    module = network([[1.0], [-1.0], [2.0], [0.0]], [[1.0] * 4])
    assert proxies.swap(module, pixels([1.0], [-1.0])) == 3


def test_expressivity_and_progressivity() -> None:
    # Two channels that vary independently and alike: shares 1/2, 1/2. Their sum alone: one component, entropy 0.
    module = network([[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]], [[1.0]])
    images = pixels([0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0])
    assert proxies.channel_entropies(module, images) == pytest.approx([math.log(2), 0.0])
    assert proxies.expressivity(module, images) == pytest.approx(math.log(2))
    assert proxies.progressivity(module, images) == pytest.approx(-math.log(2))


def test_synflow() -> None:
    # R = 1 * 2 + 3 * 1 = 5, and each of the two layers sums to it.
    assert proxies.synflow(network([[1.0], [-3.0]], [[2.0, -1.0]]), (1, 1, 1)) == pytest.approx(math.log(10))


def test_synflow_is_half_the_sum_of_log_widths() -> None:
    networks = [SPACE.network([width] * SPACE.depth) for width in (16, 64)]
    flows = [score("synflow", network, torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=int)) for network in networks]
    assert flows[1] - flows[0] == pytest.approx((SPACE.depth - 1) * math.log(4) / 2, rel=0.1)


# One weight of 2 before the ReLU, then logits (0, a): with class 1 the gradients are q * a and -q * a for the linear
# weights and -q * x for the first, q = 1 / (1 + e^a) the chance of the wrong class.
CHAIN = ([[2.0]], [[0.0], [1.0]])


@pytest.mark.parametrize(
    ("function", "factor"),
    [
        (proxies.gradient_norm, lambda q: q + 2 * math.sqrt(2) * q),
        (proxies.snip, lambda q: 2 * q + 2 * q),
        (proxies.fisher, lambda q: (2 * q) ** 2 / 2),
    ],
)
def test_scores_of_one_gradient(function: Any, factor: Any) -> None:
    q = 1 / (1 + math.exp(2))
    assert function(network(*CHAIN), pixels([1.0]), torch.tensor([1])) == pytest.approx(factor(q))


def test_fisher_counts_each_image_apart() -> None:
    q, images, labels = 1 / (1 + math.exp(2)), pixels([1.0], [1.0]), torch.tensor([1, 1])
    assert proxies.fisher(network(*CHAIN), images, labels) == pytest.approx((2 * q) ** 2 / 2)


def test_zico() -> None:
    first, second = 1 / (1 + math.exp(2)), 2 / (1 + math.exp(4))  # q * x for the images 1 and 2
    ratio = (first + second) / abs(first - second)
    found = proxies.zico(network(*CHAIN), pixels([1.0], [2.0]), torch.tensor([1, 1]))
    assert found == pytest.approx(math.log(ratio) + math.log(2 * ratio), rel=1e-5)
    with pytest.raises(ConfigError, match="two images"):
        proxies.zico(network(*CHAIN), pixels([1.0]), torch.tensor([1]))


def test_jacobian_covariance() -> None:
    # Both images are on the linear side of every ReLU: one gradient, all correlations 1, eigenvalues 2 and 0.
    module = network([[1.0, 2.0]], [[1.0]])
    k = 1e-5
    expected = -(math.log(2 + k) + 1 / (2 + k) + math.log(k) + 1 / k)
    assert proxies.jacobian_covariance(module, pixels([1.0, 1.0], [2.0, 1.0])) == pytest.approx(expected)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=generator), torch.randint(0, 10, (8,), generator=generator)


@pytest.mark.parametrize("name", SCORES)
def test_a_network_and_its_module_score_alike(name: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    described = SPACE.network([8] * SPACE.depth)
    module = build(described, generator=torch.Generator().manual_seed(3))
    before = copy.deepcopy(module.state_dict())
    found = score(name, module, *batch)
    assert math.isfinite(found)
    assert score(name, described, *batch, seed=3) == pytest.approx(found)
    after = module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert module.training


def test_scores_are_kept(batch: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr(proxies, "build", lambda *a, **k: built.append(1) or build(*a, **k))
    images, labels = batch
    described = SPACE.network([4] * SPACE.depth)
    first = score("naswot", described, images, labels, seed=7)
    assert score("naswot", described, images.clone(), labels, seed=7) == first
    assert len(built) == 1
    assert score("naswot", described, images, labels, seed=8) != first
    assert score("naswot", described, images + 1, labels, seed=7) != first
    assert len(built) == 3


def test_bad_input(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, labels = batch
    described = SPACE.network([4] * SPACE.depth)
    with pytest.raises(ConfigError, match=r"score: must be one of naswot, .*got 'naswut'"):
        score("naswut", described, images, labels)
    with pytest.raises(ConfigError, match="a class for every image, got 8 images, 7 classes"):
        score("snip", described, images, labels[:7])
    with pytest.raises(ConfigError, match=r"images must be \(3, 16, 16\), got \(3, 8, 8\)"):
        score("snip", described, images[..., :8, :8], labels)
    with pytest.raises(ConfigError, match=r"naswot: the network has no nn\.ReLU"):
        score("naswot", nn.Sequential(nn.Flatten(), nn.Linear(768, 10)), images, labels)
