from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError
from xpert.networks.quantised import (
    QuantConv2d,
    QuantLinear,
    calibrate_quantisers,
    quantise,
    quantised_layers,
    set_weight_noise,
    unquantised,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(weight: list[list[float]], **options: int) -> QuantLinear:
    layer = QuantLinear(len(weight[0]), len(weight), bias=False, **options)
    layer.weight.data = torch.tensor(weight)
    return layer


def test_by_hand() -> None:
    """Two weights of 3 bits and two inputs of 2 bits, on paper."""
    layer = linear([[0.3, -0.9]], weight_bits=3, input_bits=2)
    layer.input_clip.data.fill_(1.5)
    weight, scale = layer.integer_weight()
    assert weight.tolist() == [[1, -3]]
    assert scale.item() == pytest.approx(0.3)
    code = layer.input_code(torch.tensor([[0.6, 7.0]]))
    assert code.value.tolist() == [[1, 3]]
    assert code.scale.item() == pytest.approx(0.5)
    assert code.zero_point.item() == 0
    # 0.5 * 1 * 0.3 * 1 - 0.5 * 3 * 0.3 * 3
    assert layer(torch.tensor([[0.6, 7.0]])).item() == pytest.approx(0.15 - 1.35)


@given(
    weight_bits=st.integers(2, 16),
    input_bits=st.integers(1, 16),
    signed=st.booleans(),
    stride=st.integers(1, 2),
    groups=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_forward_is_integer_arithmetic(
    weight_bits: int, input_bits: int, signed: bool, stride: int, groups: int, seed: int
) -> None:
    """As on a crossbar: products of codes padded with the zero point, less the zero point's share, times the scales."""
    layer = QuantConv2d(
        3, 6, 3, stride=stride, padding=1, groups=groups, bias=False,
        weight_bits=weight_bits, input_bits=input_bits, signed_input=signed,
    )  # fmt: skip
    layer.weight.data = normal(*layer.weight.shape, seed=seed)
    image = normal(2, 3, 6, 6, seed=seed + 1) * 3
    image = image if signed else image.relu()
    if signed:
        layer.input_floor.fill_(-1.3)
        layer.input_clip.data.fill_(3.1)
    weight, weight_scale = layer.integer_weight()
    code, input_scale, zero_point = layer.input_code(image)
    assert weight.abs().max() == 2 ** (weight_bits - 1) - 1
    assert code.min() >= 0
    assert code.max() <= 2**input_bits - 1
    assert (zero_point == 0) | signed
    assert torch.equal(layer.quantised_input(image), (code - zero_point) * input_scale)

    padded = F.pad(code, (1, 1, 1, 1), value=int(zero_point)).double()
    ones = torch.ones_like(padded)
    options = {"stride": stride, "groups": groups}
    sums = F.conv2d(padded, weight.double(), **options) - zero_point * F.conv2d(ones, weight.double(), **options)
    expected = sums * input_scale * weight_scale
    torch.testing.assert_close(layer(image).double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@given(input_bits=st.integers(1, 8), clip=st.floats(0.5, 4), seed=st.integers(0, 99))
def test_gradients_are_straight_through(input_bits: int, clip: float, seed: int) -> None:
    """Against autograd through the same formula, rounding replaced by the identity."""
    layer = QuantLinear(5, 3, input_bits=input_bits)
    layer.input_clip.data.fill_(clip)
    x = (normal(7, 5, seed=seed) * 2).requires_grad_()
    upstream = normal(7, 5, seed=seed + 1)
    (layer.quantised_input(x) * upstream).sum().backward()

    copy = x.detach().double().requires_grad_()
    a = torch.tensor(clip, dtype=torch.float64, requires_grad=True)
    step = a / (2**input_bits - 1)
    position = (copy / step).clamp(0, 2**input_bits - 1)
    surrogate = (position + (position.round() - position).detach()) * step
    (surrogate * upstream).sum().backward()
    assert x.grad is not None
    assert copy.grad is not None
    assert a.grad is not None
    assert layer.input_clip.grad is not None
    torch.testing.assert_close(x.grad.double(), copy.grad)
    torch.testing.assert_close(layer.input_clip.grad.double(), a.grad / 5**0.5, rtol=1e-4, atol=1e-4)


@given(input_bits=st.integers(1, 8), seed=st.integers(0, 99))
def test_codes_are_exact_in_bfloat16(input_bits: int, seed: int) -> None:
    """Inputs that bfloat16 holds get the same codes as in float32, and nearly the same gradients."""
    layer = QuantLinear(32, 2, input_bits=input_bits)
    layer.input_clip.data.fill_(2.0**input_bits - 1)
    x = (normal(16, 32, seed=seed) * 2**input_bits).bfloat16()
    upstream = normal(16, 32, seed=seed + 1).bfloat16()
    found = []
    for copy in (x.clone(), x.float()):
        layer.input_clip.grad = None
        quantised = layer.quantised_input(copy.requires_grad_())
        quantised.backward(upstream.to(quantised.dtype))
        assert copy.grad is not None
        assert layer.input_clip.grad is not None
        found.append((quantised.float(), copy.grad.float(), layer.input_clip.grad))
    (codes, gradient, clip), (exact_codes, exact_gradient, exact_clip) = found
    assert torch.equal(codes, exact_codes)
    assert torch.equal(gradient, exact_gradient)
    scale = upstream.float().abs().sum() / 32**0.5
    assert abs(clip - exact_clip) < 0.01 * scale


def test_gradient_of_a_clip_does_not_depend_on_memory_layout() -> None:
    layer = QuantConv2d(3, 4, 3, input_bits=3)
    x, upstream = normal(2, 3, 8, 8), normal(2, 3, 8, 8, seed=1)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        layer.input_clip.grad = None
        quantised = layer.quantised_input(x.contiguous(memory_format=layout))
        quantised.backward(upstream.contiguous(memory_format=layout))
        gradients.append(layer.input_clip.grad)
    torch.testing.assert_close(*gradients)


def test_weights_learn_straight_through() -> None:
    layer = linear([[0.31, -0.9]], weight_bits=3)
    layer.quantised_weight().backward(torch.tensor([[2.0, 5.0]]))
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2.0, 5.0]]


def test_a_clip_learns_to_cover_its_inputs() -> None:
    """Gradient descent on the error takes the clip from far too small to near the largest input."""
    layer = QuantLinear(64, 1, input_bits=6)
    layer.input_clip.data.fill_(0.5)
    x = torch.rand(256, 64, generator=torch.Generator().manual_seed(0)) * 3
    optimiser = torch.optim.SGD([layer.input_clip], lr=1.0)
    for _ in range(200):
        optimiser.zero_grad()
        F.mse_loss(layer.quantised_input(x), x).backward()
        optimiser.step()
    assert 2.7 < layer.input_clip.item() < 3.1


def test_input_bits_change_the_step_and_keep_the_clip() -> None:
    layer = QuantConv2d(3, 4, 3, padding=1)
    x = normal(2, 3, 8, 8).relu()
    errors = []
    for bits in range(1, 13):
        layer.set_precision(8, bits)
        assert layer.input_clip.item() == 4.0
        errors.append(F.mse_loss(layer.quantised_input(x), x).item())
    assert all(fine < coarse for coarse, fine in pairwise(errors))
    # The mean square of a uniform rounding error is a twelfth of the step's square.
    assert errors[7] == pytest.approx((4 / 255) ** 2 / 12 * (x > 0).float().mean().item(), rel=0.2)


def test_many_bits_are_no_quantisation() -> None:
    layer = QuantConv2d(3, 4, 3, padding=1, weight_bits=16, input_bits=16)
    x = normal(2, 3, 8, 8).relu()
    with unquantised(layer):
        exact = layer(x)
        assert torch.equal(exact, F.conv2d(x, layer.weight, layer.bias, padding=1))
    assert layer.quantised
    assert (layer(x) - exact).abs().max() < 1e-3
    layer.set_precision(3, 3)
    assert (layer(x) - exact).abs().max() > 1e-2


def test_unquantised_restores_after_an_error() -> None:
    layer = QuantLinear(2, 2)
    with pytest.raises(ZeroDivisionError), unquantised(layer):
        raise ZeroDivisionError
    assert layer.quantised


def test_a_layer_of_zeros_stays_zero() -> None:
    layer = linear([[0.0, 0.0]])
    weight, scale = layer.integer_weight()
    assert weight.tolist() == [[0, 0]]
    assert scale > 0
    assert layer(torch.ones(1, 2)).item() == 0


def test_noise_only_while_training_and_from_its_generator() -> None:
    layer = linear(normal(400, 50).tolist())
    clean = layer.quantised_weight()
    set_weight_noise(layer, 0.1, torch.Generator().manual_seed(3))
    noisy = layer.quantised_weight()
    spread = (noisy - clean).std() / layer.weight.abs().max()
    assert spread.item() == pytest.approx(0.1, rel=0.03)
    assert not torch.equal(layer.quantised_weight(), noisy)
    set_weight_noise(layer, 0.1, torch.Generator().manual_seed(3))
    assert torch.equal(layer.quantised_weight(), noisy)
    layer.eval()
    assert torch.equal(layer.quantised_weight(), clean)
    set_weight_noise(layer.train(), None)
    assert torch.equal(layer.quantised_weight(), clean)


@pytest.mark.parametrize(("weight_bits", "largest"), [(1, 127), (4, 127), (8, 127), (11, 1023)])
def test_weights_with_noise_are_integers_again(weight_bits: int, largest: int) -> None:
    """Of 8 bits at least, so that products of them stay those of integers; the largest is the end of their range."""
    layer = linear(normal(400, 50).tolist(), weight_bits=weight_bits)
    set_weight_noise(layer, 0.1, torch.Generator().manual_seed(3))
    integer, scale = layer.felt_weight()
    assert integer.dtype == torch.int32
    assert integer.abs().max() == largest
    set_weight_noise(layer, 0.1, torch.Generator().manual_seed(3))
    assert torch.equal(layer.quantised_weight(), layer.weight + (integer * scale - layer.weight))
    layer.eval()
    assert torch.equal(layer.felt_weight().value, layer.integer_weight().value)


def test_noise_of_a_table_depends_on_the_integer_weight() -> None:
    layer = linear([[1.0, -0.5, 0.0, -1.0]] * 20_000, weight_bits=3)
    assert layer.integer_weight().value[0].tolist() == [3, -2, 0, -3]
    # Of -4 ... 3, in integer weights.
    table = torch.tensor([9.0, 0.3, 0.2, 9.0, 0.0, 9.0, 9.0, 0.6])
    clean = layer.quantised_weight()
    set_weight_noise(layer, table, torch.Generator().manual_seed(0))
    spread = (layer.quantised_weight() - clean).std(dim=0) * 3
    torch.testing.assert_close(spread, torch.tensor([0.6, 0.2, 0.0, 0.3]), rtol=0.03, atol=1e-6)
    with pytest.raises(ConfigError, match="weights of 3 bits need a table of 8 deviations, got \\[4\\]"):
        set_weight_noise(layer, table[:4], torch.Generator())


@given(bits=st.integers(1, 8), scale=st.floats(0.01, 100))
def test_calibration_finds_the_clip_of_least_error(bits: int, scale: float) -> None:
    layer = QuantLinear(100, 2, input_bits=bits)
    x = normal(200, 100).relu() * scale
    calibrate_quantisers(layer, x)

    def error(clip: float) -> float:
        layer.input_clip.data.fill_(clip)
        return F.mse_loss(layer.quantised_input(x), x).item()

    found = layer.input_clip.item()
    least = error(found)
    for other in (0.5, 0.8, 1.25, 2):
        assert least <= error(found * other) * (1 + 1e-6)


def test_calibration_covers_a_signed_input() -> None:
    layer = QuantConv2d(3, 4, 3, signed_input=True)
    x = normal(8, 3, 8, 8)
    calibrate_quantisers(layer, x)
    assert layer.input_floor.item() == x.min().item()
    assert layer.input_clip.item() == x.max().item()
    scale, _ = layer.input_grid()
    assert (layer.quantised_input(x) - x).abs().max() <= scale / 2 * (1 + 1e-5)


@pytest.mark.parametrize(("mean", "least"), [(0.5, 255), (0.4914, 251), (0.0, 256)])
def test_every_byte_of_an_image_keeps_a_code_of_its_own(mean: float, least: int) -> None:
    """But for those that zero's own code takes the room of."""
    layer = QuantLinear(256, 1, signed_input=True)
    image = ((torch.arange(256) / 255 - mean) / 0.25).unsqueeze(0)
    calibrate_quantisers(layer, image)
    code, _, zero = layer.input_code(image)
    assert len(code.unique()) >= least
    assert layer.quantised_input(torch.zeros(1)).item() == 0
    assert (int(zero) == 0) == (mean == 0)


@given(floor=st.floats(-8, 0), clip=st.floats(0.01, 8), bits=st.integers(2, 8))
def test_signed_codes_reach_both_ends(floor: float, clip: float, bits: int) -> None:
    layer = QuantLinear(1, 1, input_bits=bits, signed_input=True)
    layer.input_floor.fill_(floor)
    layer.input_clip.data.fill_(clip)
    ends = torch.tensor([floor, clip])
    scale, _ = layer.input_grid()
    # Half a step, and more where what is below zero is less than one.
    assert (layer.quantised_input(ends) - ends).abs().max() <= 0.6 * scale
    assert scale <= (clip - floor) / (2**bits - 2) * 1.51


def test_calibration_goes_layer_by_layer() -> None:
    """The second layer is set from what the first, already set, gives it."""
    model = nn.Sequential(QuantLinear(8, 8, input_bits=2), nn.ReLU(), QuantLinear(8, 2, input_bits=2))
    x = normal(100, 8).relu() * 50
    calibrate_quantisers(model, x)
    first, _, second = model
    expected = QuantLinear(8, 2, input_bits=2)
    calibrate_quantisers(expected, first(x).relu())
    assert first.input_clip > 10
    assert torch.equal(second.input_clip, expected.input_clip)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_layers_are_found_by_name() -> None:
    model = nn.Sequential(QuantConv2d(1, 1, 1), nn.Sequential(nn.Linear(1, 1), QuantLinear(1, 1)))
    assert list(quantised_layers(model)) == ["0", "1.1"]


def test_wrong_precisions_are_refused() -> None:
    for bits in (0, 17):
        with pytest.raises(ConfigError, match=f"weight_bits must be 1 ... 16, got {bits}"):
            QuantLinear(2, 2, weight_bits=bits)
    layer = QuantConv2d(1, 1, 1)
    for bits in (0, 17):
        with pytest.raises(ConfigError, match=f"input_bits must be 1 ... 16, got {bits}"):
            layer.set_precision(8, bits)
    with pytest.raises(ConfigError, match="must not be negative"):
        set_weight_noise(layer, -0.1)
    with pytest.raises(ConfigError, match="needs a generator"):
        set_weight_noise(layer, 0.1)


def test_any_network_can_be_quantised() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding="same", groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
    )
    images = normal(16, 3, 8, 8)
    plain(images)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    made = quantise(plain, images, weight_bits=8, input_bits=8)
    expected = plain.eval()(images)
    assert [name for name, _ in quantised_layers(made).items()] == ["0", "3", "6"]
    assert [layer.signed_input for layer in quantised_layers(made).values()] == [True, False, False]
    assert not any(module.training for module in made.modules())
    assert F.mse_loss(made(images), expected) < 1e-3 * expected.var()
    assert F.mse_loss(quantise(plain, images, input_bits=2)(images), expected) > 1e-2 * expected.var()
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert not any(module._forward_pre_hooks for module in [*plain.modules(), *made.modules()])
    assert isinstance(quantise(nn.Conv2d(3, 4, 3), images), QuantConv2d)


@pytest.mark.parametrize(
    ("channels", "weight_bits", "input_bits", "signed", "parts"),
    [
        (16, 8, 8, False, [torch.float32]),
        (16, 8, 8, True, [torch.float32]),
        (512, 8, 8, False, [torch.float32, torch.float32]),
        (64, 16, 12, False, [torch.float64]),
    ],
)
def test_evaluation_is_exact(
    channels: int, weight_bits: int, input_bits: int, signed: bool, parts: list[torch.dtype]
) -> None:
    layer = QuantConv2d(
        channels, 4, 3, padding=1, weight_bits=weight_bits, input_bits=input_bits, signed_input=signed
    ).eval()
    x = normal(2, channels, 5, 5) if signed else normal(2, channels, 5, 5).relu()
    calibrate_quantisers(layer, x)
    code, weight = layer.input_code(x), layer.integer_weight()
    inputs = (code.value - code.zero_point).long()
    assert [part.dtype for part, _ in layer._digits(weight.value, 2**input_bits - 1)] == parts
    sums = F.unfold(inputs.double(), 3, padding=1).long().transpose(1, 2) @ weight.value.long().flatten(1).T
    expected = (sums.double() * (code.scale.double() * weight.scale.double())).float() + layer.bias
    with torch.no_grad():
        found = layer(x)
        assert torch.equal(found.flatten(2).transpose(1, 2), expected)
        torch.testing.assert_close(found, layer.differentiable(x), rtol=1e-4, atol=1e-4)
    # With gradients the value is the same, and the gradient that of training.
    x.requires_grad_()
    assert torch.equal(layer(x), found)
    gradients = [torch.autograd.grad(output.sum(), [layer.weight, x]) for output in (layer(x), layer.differentiable(x))]
    assert all(map(torch.equal, *gradients))


def test_training_sees_no_exact_sums() -> None:
    layer = QuantConv2d(8, 4, 3, padding=1)
    x = normal(2, 8, 5, 5).relu()
    calibrate_quantisers(layer, x)
    assert torch.equal(layer(x), layer.differentiable(x))


def test_symmetric_codes() -> None:
    layer = QuantLinear(4, 2, input_bits=4, signed_input=True)
    calibrate_quantisers(layer, torch.tensor([[-1.4, 0.7, 0.0, 0.2]]))
    layer.set_precision(8, layer.input_bits, symmetric_input=True)
    scale, zero = layer.input_grid()
    assert int(zero) == 8
    assert scale.item() == pytest.approx(1.4 / 7)
    assert layer.input_code(torch.tensor([-1.4, 0.7, 0.0, 9.0])).value.tolist() == [1, 12, 8, 15]


def test_layers_of_others_that_compute_plainly() -> None:
    """timm's linear layer has a forward of its own, which differs from the plain one under torch.jit.script alone."""

    class Linear(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return torch.nn.functional.linear(input, self.weight, self.bias)

    images = torch.randn(4, 8)
    with pytest.raises(ConfigError, match="computes in its own way"):
        quantise(nn.Sequential(Linear(8, 3)), images)
    Linear.__module__ = "timm.layers.linear"
    made = quantise(nn.Sequential(Linear(8, 3)), images)
    assert list(quantised_layers(made)) == ["0"]
