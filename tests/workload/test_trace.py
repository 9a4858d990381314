from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.design import Layer, PoolKind
from xpert.errors import ConfigError
from xpert.workload.trace import trace


class Free(nn.Module):
    """A convolution, a linear layer, and a forward pass of the test's own."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, **options)
        self.linear = nn.Linear(4, 2)
        self.forward = lambda image: forward(self, image)


class Block(nn.Module):
    """A residual block of ResNet, its sum and its ReLU in place."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, stride) if stride > 1 else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        y += self.skip(x)
        return self.relu(y)


def conv(name: str, in_channels: int, out_channels: int, side: int, **fields: Any) -> Layer:
    return Layer(
        name=name,
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=side,
        in_width=side,
        **({"kernel_height": 3, "kernel_width": 3, "padding": 1} | fields),
    )


def test_a_small_resnet() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        Block(8, 8, 1),
        Block(8, 16, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    assert trace(network, (3, 64, 64)) == (
        conv("0", 3, 8, 64, kernel_height=7, kernel_width=7, stride=2, padding=3, pool=2, pool_kind="max"),
        conv("3.conv1", 8, 8, 16),
        conv("3.conv2", 8, 8, 16, residual=True),
        conv("4.conv1", 8, 16, 16, stride=2),
        conv("4.conv2", 16, 16, 8, relu=False),
        conv(
            "4.skip",
            8,
            16,
            16,
            kernel_height=1,
            kernel_width=1,
            stride=2,
            padding=0,
            residual=True,
            pool=8,
            pool_kind="average",
        ),
        Layer(name="7", kind="linear", in_channels=16, out_channels=10, relu=False),
    )


@pytest.mark.parametrize(
    ("forward", "pool", "kind", "relu"),
    [
        (lambda m, x: m.linear(F.relu(m.conv(x)).amax((2, 3))), 14, "max", True),
        (lambda m, x: m.linear(torch.relu_(m.conv(input=x)).mean((2, 3))), 14, "average", True),
        (lambda m, x: m.linear(F.adaptive_max_pool2d(m.conv(x).relu(), 1).flatten(1)), 14, "max", True),
        (
            lambda m, x: m.linear(F.avg_pool2d(F.max_pool2d(m.conv(x), 2), kernel_size=7).flatten(1)),
            14,
            "average",
            False,
        ),
        (lambda m, x: m.linear(F.leaky_relu(F.max_pool2d(m.conv(x), 3, stride=2)).flatten(2).sum(2)), 2, "max", True),
        (lambda m, x: m.linear(torch.sigmoid(m.conv(x)).sum((2, 3))), 1, None, False),
        (lambda m, x: m.linear(m.conv(x).sum((2, 3))).relu().neg(), 1, None, False),
        (lambda m, x: m.linear((m.conv(x) + 1).sum((2, 3))), 1, None, False),
    ],
)
def test_functions_that_follow(
    forward: Callable[[Any, Tensor], Tensor], pool: int, kind: PoolKind | None, relu: bool
) -> None:
    first, second = trace(Free(forward), (3, 16, 16))
    assert first == conv("conv", 3, 4, 16, padding=0, pool=pool, pool_kind=kind, relu=relu)
    assert second.in_channels == 4
    assert not first.residual


@pytest.mark.parametrize(
    "head",
    [
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: F.avg_pool2d(x, 8).flatten(1),
        lambda x: F.avg_pool2d(F.avg_pool2d(x, 2), kernel_size=4).flatten(1),
        lambda x: x.mean((2, 3)),
        lambda x: x.mean(dim=(-2, -1), keepdim=True).flatten(1),
        lambda x: F.adaptive_avg_pool2d(F.avg_pool2d(x, 8), 1).flatten(1),
    ],
)
def test_a_global_average_is_one_however_it_is_written(head: Callable[[Tensor], Tensor]) -> None:
    first, _ = trace(Free(lambda m, x: m.linear(head(m.conv(x)))), (3, 10, 10))
    assert first == conv("conv", 3, 4, 10, padding=0, pool=8, pool_kind="average", relu=False)


def test_a_relu_after_branches_belongs_to_each_and_after_a_sum_to_the_last() -> None:
    class Branches(nn.Module):
        def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
            super().__init__()
            self.a, self.b, self.join = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), join

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.join(self.a(x), self.b(x)))

    joined = trace(Branches(lambda a, b: torch.cat([a, b], 1)), (3, 8, 8))
    assert [(layer.relu, layer.residual) for layer in joined] == [(True, False), (True, False)]
    summed = trace(Branches(lambda a, b: a + b), (3, 8, 8))
    assert [(layer.relu, layer.residual) for layer in summed] == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("options", "padding"), [({"padding": "same"}, 1), ({"padding": "valid"}, 0), ({"padding": (1, 1)}, 1)]
)
def test_padding_is_a_number(options: dict[str, Any], padding: int) -> None:
    (layer,) = trace(nn.Conv2d(3, 4, 3, **options), (3, 8, 8))
    assert layer == conv("module", 3, 4, 8, padding=padding, relu=False)


def test_groups_and_functional_layers() -> None:
    def forward(module: Any, image: Tensor) -> Tensor:
        return F.linear(module.conv(image).mean((2, 3)), torch.ones(5, 4))

    first, second = trace(Free(lambda m, x: forward(m, x.tile(1, 3, 1, 1)), groups=1), (1, 8, 8))
    assert (first.name, second.name, second.kind, second.out_channels) == ("conv", "module", "linear", 5)
    (grouped,) = trace(nn.Conv2d(4, 8, 3, groups=4), (4, 8, 8))
    assert grouped.groups == 4
    assert grouped.weights == 8 * 9


def test_a_linear_layer_at_many_positions_is_a_convolution() -> None:
    first, second = trace(Free(lambda m, x: m.linear(m.conv(x).flatten(2).transpose(1, 2)).mean(1)), (3, 10, 10))
    assert second == Layer(name="linear", in_channels=4, out_channels=2, in_height=64, relu=False)
    assert first.pool == 1


def test_custom_autograd_functions_do_not_hide_what_follows() -> None:
    class Same(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
            return x.clone()

    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Same.apply(x)

    first, _ = trace(nn.Sequential(nn.Conv2d(3, 4, 3), Hidden(), nn.ReLU(), nn.Conv2d(4, 4, 3)), (3, 8, 8))
    assert first.relu


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trace(module, (3, 8, 8))
    assert [part.training for part in module.modules()] == [True, True, False, True]
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Identity(), "no convolution or linear layer"),
        (nn.Conv2d(4, 4, 3), r"does not run on an image of 3x16x16: Given groups=1"),
        (nn.BatchNorm1d(3), "does not run on an image"),
        (nn.Conv2d(3, 4, 3, dilation=2), "module: dilation must be 1, got 2"),
        (nn.Conv2d(3, 4, 3, stride=(1, 2)), r"stride must be the same whole number on all sides, got \(1, 2\)"),
        (nn.Conv2d(3, 4, (3, 5), padding="same"), "padding must be the same whole number"),
        pytest.param(
            nn.Conv2d(3, 4, 4, padding="same"),
            "padding must be the same whole number",
            marks=pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
        ),
        (nn.ConvTranspose2d(3, 4, 3), "a transposed convolution cannot be mapped"),
        (nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3)), "1: a 1-d convolution cannot be mapped"),
        (Free(lambda m, x: m.conv(m.conv(x)[:, :3])), "conv: runs twice per image"),
        (Free(lambda m, x: m.conv(x) @ torch.ones(14, 2)), "a matrix product outside nn.Linear cannot be mapped"),
        (Free(lambda m, x: F.avg_pool2d(m.conv(x), (2, 7))), "pooling must be the same whole number"),
        (Free(lambda m, x: F.adaptive_avg_pool2d(m.conv(x), 4)), "pooling must be the same whole number"),
        (Free(lambda m, x: nn.MultiheadAttention(3, 1)(*[x.flatten(2).mT] * 3)), "attention cannot be mapped"),
        (Free(lambda m, x: nn.LSTM(256, 2)(x.flatten(2))), "a recurrent layer cannot be mapped"),
    ],
)
def test_what_cannot_be_mapped_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trace(module, (3, 16, 16))
