from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from xpert.design import Layer, PoolKind
from xpert.errors import ConfigError
from xpert.workload.trace import trace


class Free(nn.Module):
    """A convolution, a linear layer, and a forward pass of the test's own."""

    def __init__(self, forward: Callable[[Any, Any], Any], **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, **options)
        self.linear = nn.Linear(4, 2)
        self.forward = lambda image: forward(self, image)


@torch.library.custom_op("xpert_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    """An operator of another package."""
    return 2 * x


class Outside(nn.Module):
    """Computes in NumPy."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy() * 2)


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
    shape = {"in_channels": in_channels, "out_channels": out_channels, "in_height": side, "in_width": side}
    return Layer.parse({"name": name, **shape, "kernel_height": 3, "kernel_width": 3, "padding": 1, **fields})


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
    first, second = (layer.replace(after=()) for layer in trace(Free(forward), (3, 16, 16)))
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
    assert second == Layer(
        name="linear", in_channels=4, out_channels=2, in_height=64, relu=False, pool=(64, 1), pool_kind="average"
    )
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
        (nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 3)), "1: a 3-d convolution cannot be mapped"),
        (Free(lambda m, x: m.conv(m.conv(x)[:, :3])), "conv: runs in different ways.*in_height 16 and 14"),
        (
            Free(lambda m, x: nn.Bilinear(14, 14, 2)(m.conv(x), m.conv(x))),
            "conv: runs|a bilinear layer cannot be mapped",
        ),
        (Free(lambda m, x: torch.linalg.inv(m.conv(x))), "aten::linalg_inv_ex cannot be mapped"),
        (Free(lambda m, x: torch.fft.fft(m.conv(x)).real), "aten::_fft_r2c cannot be mapped"),
        (Free(lambda m, x: torch.cdist(m.conv(x), m.conv(x))), "cannot be mapped"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), Outside()), "1: computes outside torch"),
        (Free(lambda m, x: torch.from_numpy(m.conv(x).numpy().sum((2, 3)))), "is computed outside torch"),
        (Free(lambda m, x: m.linear(torch.from_numpy(m.conv(x).numpy().sum((2, 3))))), "tensors of unknown origin"),
        (Free(lambda m, x: torch.ops.xpert_tests.twice(m.conv(x))), "xpert_tests::twice cannot be mapped"),
        (nn.LazyConv2d(4, 3), "weight: has no shape yet"),
        (Free(lambda m, x: {"other": x}["image"]), "does not run on an image of 3x16x16: KeyError: 'image'"),
        (Free(lambda m, x: m.conv(x.pixels)), "AttributeError: 'Tensor' object has no attribute 'pixels'"),
        (Free(lambda m, x: 1 // 0), "ZeroDivisionError: integer division"),
    ],
)
def test_what_cannot_be_mapped_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trace(module, (3, 16, 16))


def macs(layers: tuple[Layer, ...]) -> int:
    return sum(layer.macs + sum(work.operations for work in layer.after if work.kind == "product") for layer in layers)


def counted(module: nn.Module, *shape: int) -> int:
    """Multiply-accumulates of a module as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("module", "shape", "fields"),
    [
        (nn.Conv2d(3, 4, (10, 4), (2, 1), (5, 1)), (3, 49, 10), {"stride": (2, 1), "padding": (5, 1)}),
        (nn.Conv2d(3, 4, 3, padding=2, dilation=2), (3, 16, 16), {"dilation": 2, "padding": 2}),
        (nn.Conv2d(3, 4, (1, 7), padding=(0, 3)), (3, 16, 16), {"padding": (0, 3)}),
        (nn.Conv2d(3, 4, (3, 5), padding="same"), (3, 16, 16), {"padding": (1, 2)}),
        pytest.param(
            nn.Conv2d(3, 4, 4, padding="same"),
            (3, 16, 16),
            {"padding": (1, 2, 1, 2), "in_height": 16},
            marks=pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
        ),
        (
            nn.Sequential(nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2)),
            (1, 49, 10),
            {"padding": (4, 5, 1, 1), "in_height": 49, "in_width": 10},
        ),
        (
            nn.Conv3d(3, 4, (3, 3, 1), (2, 1, 2), (1, 1, 0)),
            (3, 8, 8, 5),
            {"uses": 3, "stride": (2, 1), "padding": 1, "in_height": 8},
        ),
        (
            nn.Conv1d(3, 4, 5, 2, 1),
            (3, 20),
            {"kernel_height": 1, "kernel_width": 5, "stride": (1, 2), "padding": (0, 1)},
        ),
        (
            nn.ConvTranspose2d(3, 4, 3, 2, 1, 1),
            (3, 8, 8),
            {"kind": "transposed", "output_padding": 1, "out_channels": 4},
        ),
        (nn.ConvTranspose2d(4, 6, 4, (2, 3), groups=2), (4, 8, 8), {"kind": "transposed", "groups": 2}),
        (nn.ConvTranspose1d(3, 4, 4, 4), (3, 8), {"kind": "transposed", "stride": (1, 4)}),
        (nn.Linear(16, 4), (5, 7, 16), {"kind": "conv", "in_height": 35}),
        (nn.Linear(16, 4), (16,), {"kind": "linear"}),
    ],
)
def test_layers_of_any_shape(module: nn.Module, shape: tuple[int, ...], fields: dict[str, Any]) -> None:
    (layer,) = trace(module, shape)
    assert {name: getattr(layer, name) for name in fields} == fields
    seen = module(torch.zeros(1, *shape))
    assert layer.out_height * layer.out_width * layer.uses == seen.numel() // layer.out_channels
    assert layer.macs == counted(module, *shape)


def test_what_runs_several_times_is_priced_so_often() -> None:
    (twice,) = trace(nn.Sequential(same := nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), same, nn.ReLU()), (3, 8, 8))
    assert (twice.name, twice.uses, twice.relu, twice.macs) == ("0", 2, True, 2 * 81 * 64)

    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            frames = self.conv(x.unflatten(1, (-1, 3)).flatten(0, 1)).relu()
            return self.head(frames.mean((2, 3))).mean(0)

    conv_, head = trace(Frames(), (12, 8, 8))
    assert (conv_.uses, conv_.in_height, conv_.pool, conv_.relu) == (4, 8, 6, True)
    assert head.in_height == 4


def test_a_layer_registered_twice_is_one() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.net = nn.Sequential(self.conv, nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    assert [layer.name for layer in trace(Net(), (3, 8, 8))] == ["conv"]


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(self.down(F.adaptive_avg_pool2d(x, 1)).relu()).sigmoid()


def test_a_side_branch_does_not_pool_the_map() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), Gate(8), nn.Conv2d(8, 8, 3, 1, 1), nn.Flatten())
    first, _, up, last = trace(network, (3, 130, 130))
    assert first.pool == last.pool == 1
    assert first.relu
    assert {work.kind: work.operations for work in first.after} == {"pool": 8 * 130 * 130}
    assert {work.kind: work.operations for work in up.after} == {"activation": 8, "elementwise": 8 * 130 * 130}
    # The gate needs the map at full size, whatever follows.
    first, *_ = trace(nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Gate(8), nn.AdaptiveAvgPool2d(1)), (3, 32, 16))
    assert first.pool == 1
    assert {work.kind: work.operations for work in first.after} == {"pool": 8 * 32 * 16}


@pytest.mark.parametrize("pool", [nn.MaxPool2d((2, 1)), nn.AvgPool2d((1, 2)), nn.AdaptiveAvgPool2d((4, 8))])
def test_pooling_of_any_window(pool: nn.Module) -> None:
    (layer,) = trace(nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), pool), (3, 8, 8))
    shape = pool(torch.zeros(1, 8, 8, 8)).shape[2:]
    assert layer.pools == (8 // shape[0], 8 // shape[1])


def test_an_average_that_enlarges_a_map_is_work() -> None:
    first, _ = trace(
        nn.Sequential(nn.Conv2d(3, 8, 3, 8, 1), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(392, 10)), (3, 16, 16)
    )
    assert first.pool == 1
    assert [work.kind for work in first.after] == ["pool"]


class Cell(nn.Module):
    """A recurrent cell over the rows of an image."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.cell, self.head = kind(16, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for row in x[:, 0].unbind(1):
            state = self.cell(row, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_recurrent_cells_use_their_matrices_at_every_step(kind: Any, gates: int) -> None:
    layers = {layer.name: layer for layer in trace(Cell(kind), (1, 9, 16))}
    assert set(layers) == {"cell.weight_ih", "cell.weight_hh", "head"}
    assert layers["cell.weight_hh"].uses == layers["cell.weight_ih"].uses == 9
    assert layers["cell.weight_hh"].macs == 9 * gates * 32 * 32


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers(kind: Any, gates: int) -> None:
    layers = {layer.name: layer for layer in trace(kind(16, 32, 2, batch_first=True, bidirectional=True), (9, 16))}
    assert len(layers) == 8
    assert layers["weight_ih_l0"].in_height == 9
    assert (layers["weight_hh_l1_reverse"].uses, layers["weight_hh_l1_reverse"].in_height) == (9, 1)
    assert sum(layer.macs for layer in layers.values()) == 9 * gates * 32 * (2 * (16 + 32) + 2 * (64 + 32))


@pytest.mark.parametrize("shape", [(), (3, 0, 8), (3, -8, 8), (3, 8.0, 8)])
def test_sizes_are_positive(shape: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match="input_shape must be sizes of at least 1"):
        trace(nn.Conv2d(3, 4, 3), shape)


W = torch.randn(10, 784, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "form",
    [
        lambda x, w: x @ w.T,
        lambda x, w: torch.linalg.matmul(x, w.T),
        lambda x, w: torch.einsum("bi,oi->ob", x, w),
        torch.inner,
        lambda x, w: torch.mv(w, x[0])[None],
        lambda x, w: torch.stack([torch.dot(x[0], row) for row in w])[None],
        lambda x, w: torch.addbmm(torch.zeros(1, 10), x[None], w.T[None]),
        lambda x, w: torch.linalg.multi_dot([x, w.T]),
        lambda x, w: torch.einsum("bi,oi->bo", x, w),
        lambda x, w: F.linear(x, w),
        lambda x, w: F.conv2d(x.view(1, 4, 14, 14), w.view(10, 4, 14, 14)).flatten(1),
        lambda x, w: torch.convolution(
            x.view(1, 4, 14, 14), w.view(10, 4, 14, 14), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1
        ),
    ],
)
def test_products_in_functional_form_are_layers(form: Callable[[Tensor, Tensor], Tensor]) -> None:
    module = Free(lambda m, x: form(F.relu(m.conv(x)).flatten(1), m.weight))
    module.weight = nn.Parameter(W)
    first, *rest = trace(module, (3, 16, 16))
    assert first.name == "conv"
    assert sum(layer.weights for layer in rest) == sum(layer.macs for layer in rest) == 7840


def test_two_functional_layers_in_one_module() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(8, 8, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.conv2d(x, self.a), self.b)

    assert [layer.name for layer in trace(Two(), (3, 8, 8))] == ["a", "b"]


def test_attention_is_digital_work() -> None:
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    layers = trace(encoder, (9, 16))
    assert [layer.name for layer in layers] == ["self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2"]
    work = {work.kind: work for work in layers[0].after}
    assert work["product"].operations == 2 * 9 * 9 * 16
    assert work["softmax"].operations == 2 * 9 * 9
    assert layers[1].residual
    assert [work.kind for work in layers[1].after] == ["norm"]
    assert macs(layers) == 9 * (3 * 16 * 16 + 16 * 16 + 2 * 16 * 32) + 2 * 9 * 9 * 16


def test_an_embedding_is_a_lookup() -> None:
    first, *_ = trace(nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 4)), (9,))
    assert [(work.kind, work.operations) for work in first.after] == [("lookup", 9 * 16)]
    assert first.in_height == 9


@pytest.mark.parametrize("form", [nn.ReLU6(), nn.Hardtanh(0, 6), F.relu6, lambda x: x.clamp(min=0), nn.LeakyReLU(0.1)])
def test_relus_however_they_are_written(form: Callable[[Tensor], Tensor]) -> None:
    first, _ = trace(Free(lambda m, x: m.linear(form(m.conv(x)).mean((2, 3)))), (3, 8, 8))
    assert first.relu
    assert not first.after


@pytest.mark.parametrize(
    "form",
    [F.hardswish, F.silu, F.gelu, torch.sigmoid, Tensor.tanh, lambda x: F.prelu(x, torch.ones(4)), F.elu, F.mish],
)
def test_other_activations_are_work(form: Callable[[Tensor], Tensor]) -> None:
    first, _ = trace(Free(lambda m, x: m.linear(form(m.conv(x)).mean((2, 3)))), (3, 8, 8))
    assert not first.relu
    assert first.pool == 6
    assert [(work.kind, work.operations) for work in first.after] == [("activation", 144)]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_several_outputs_and_scripted_parts() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.jit.script(nn.Conv2d(3, 4, 3))
            self.a, self.b, self.training_only = nn.Linear(4, 2), nn.Linear(4, 3), nn.Linear(4, 9)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            features = self.stem(x).mean((2, 3))
            return {"a": self.a(features), "b": self.b(features)}

    assert [layer.name for layer in trace(Heads(), (3, 8, 8))] == ["stem", "a", "b"]
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)))
    assert [(layer.name, layer.relu) for layer in trace(scripted, (3, 8, 8))] == [("0", True), ("3", False)]


def test_weights_that_are_computed() -> None:
    conv_ = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3, padding=1))
    (layer,) = trace(nn.Sequential(conv_, conv_), (3, 8, 8))
    assert (layer.name, layer.uses) == ("0", 2)
    (layer,) = trace(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), (3, 8, 8))
    assert layer.name == "module"
    pruned = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    prune.l1_unstructured(pruned[0], "weight", 0.5)
    assert [layer.name for layer in trace(pruned, (3, 8, 8))] == ["0", "2"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_number_formats(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    assert trace(network.to(dtype), (3, 8, 8)) == trace(network.float(), (3, 8, 8))


def test_parts_of_a_map_that_are_written_in_place() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        whole = torch.zeros(1, 8, 14, 14)
        whole[:, :4] = m.conv(x)
        return F.conv2d(whole, torch.ones(2, 8, 14, 14))

    assert len(trace(Free(forward), (3, 16, 16))) == 2
