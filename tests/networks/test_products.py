"""Products of 8-bit integers against torch's of the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from xpert.networks import products
from xpert.networks.products import Geometry, convolution
from xpert.networks.quantised import QuantConv2d

POINTS, SAME = (Geometry((1, 1), (padding, padding), (1, 1)) for padding in (0, 1))
needs_products = pytest.mark.skipif(
    not products.able(torch.ones(1, 1, 1, 1), POINTS), reason="this processor, or this torch, has no 8-bit products"
)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Tensor, Tensor, Geometry]:
    """Codes, an integer weight and how they are convolved."""
    n, inputs, outputs, height, width = (draw(st.integers(1, most)) for most in (3, 40, 40, 9, 9))
    side = draw(st.sampled_from([1, 3]))
    kernel = side, side
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    codes = torch.randint(0, 256, (n, inputs, height, width), generator=generator)
    weight = torch.randint(-127, 128, (outputs, inputs, *kernel), generator=generator)
    layout = torch.channels_last if draw(st.booleans()) else torch.contiguous_format
    return (
        codes.to(torch.uint8).contiguous(memory_format=layout),
        weight.to(torch.int8).contiguous(memory_format=layout),
        Geometry((1, 1), (side // 2,) * 2, (1, 1)),
    )


@needs_products
@settings(max_examples=60, deadline=None)
@given(geometry=geometries())
def test_sums_are_exact(geometry: tuple[Tensor, Tensor, Geometry]) -> None:
    codes, weight, how = geometry
    expected = F.conv2d(codes.double(), weight.double(), None, *how)
    assert torch.equal(products.sums(codes, weight, how).double(), expected)


@needs_products
@settings(max_examples=40, deadline=None)
@given(geometry=geometries(), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_the_convolution_and_its_gradients(geometry: tuple[Tensor, Tensor, Geometry], dtype: torch.dtype) -> None:
    codes, integer, how = geometry
    scales = torch.tensor(0.01), torch.tensor(0.003)
    rounded = [codes.double() * scales[0], integer.double() * scales[1]]
    weight = rounded[1].float() + 0.001  # what it would be without rounding
    x, weight = rounded[0].to(dtype).requires_grad_(), weight.requires_grad_()
    found = convolution(x, weight, codes, integer, *scales, how, dtype)
    assert found.dtype == dtype
    leaves = [tensor.clone().requires_grad_() for tensor in rounded]
    expected = F.conv2d(leaves[0], leaves[1], None, *how)
    digits = 2.0**-8 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.double(), expected, rtol=digits, atol=1e-6)
    sensitivity = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    gradients = torch.autograd.grad(found, [x, weight], sensitivity)
    # Sums cancel: their rounding goes with the sums of magnitudes.
    sizes = [tensor.abs().requires_grad_() for tensor in rounded]
    terms = torch.autograd.grad(F.conv2d(sizes[0], sizes[1], None, *how), sizes, sensitivity.double().abs())
    exacts = torch.autograd.grad(expected, leaves, sensitivity.double())
    for gradient, of_leaf, exact, magnitude in zip(gradients, (x, weight), exacts, terms, strict=True):
        assert gradient.dtype == of_leaf.dtype
        error = (gradient.double() - exact).norm()
        assert error <= 2 * digits * magnitude.norm() + 1e-6


@needs_products
def test_sums_beyond_32_bits_are_left_to_others() -> None:
    assert not products.able(torch.ones(1, 8, 3, 3), POINTS)
    assert not products.able(torch.ones(1, 8, 3, 3), SAME._replace(stride=(2, 2)))
    assert not products.able(torch.ones(1, 8, 3, 2), SAME)
    assert products.able(torch.ones(1, 7000, 3, 3), SAME)
    assert not products.able(torch.ones(1, 8000, 3, 3), SAME)


@pytest.fixture
def without_products(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor without 8-bit products."""
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    products._operation_is_there.cache_clear()
    yield
    monkeypatch.undo()
    products._operation_is_there.cache_clear()


def layer(**options: Any) -> tuple[QuantConv2d, Tensor]:
    torch.manual_seed(0)
    made = QuantConv2d(9, 11, 3, padding=1, **options)
    return made.train(), torch.rand(4, 9, 8, 8)


@needs_products
def test_other_versions_of_torch_and_other_processors_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise AttributeError("'_OpNamespace' 'onednn' object has no attribute 'qconv_prepack'")

    def wrong(codes: Tensor, _: float, weight: Tensor, *__: object) -> Tensor:
        return F.conv2d(codes.float(), weight.float(), None, (1, 1), (1, 1)) + 1

    for broken in (gone, wrong):
        monkeypatch.setattr(products, "_convolution", broken)
        products._operation_is_there.cache_clear()
        assert not products.able(torch.ones(1, 1, 1, 1), POINTS)
    monkeypatch.undo()
    products._operation_is_there.cache_clear()
    assert products.able(torch.ones(1, 1, 1, 1), POINTS)


def test_evaluation_is_the_same_without_them(without_products: None) -> None:
    made, x = layer()
    made.eval()
    assert not made.input_rounding().codes
    with torch.no_grad():
        expected = made(x)
    products._operation_is_there.cache_clear()
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
        assert torch.equal(made(x), expected)
    products._operation_is_there.cache_clear()


@needs_products
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_computes_from_codes_what_it_computes_from_values(bias: bool) -> None:
    made, x = layer(bias=bias)
    made.input_clip.data.fill_(0.8)
    rounding = made.input_rounding()
    assert rounding.codes
    values = made.quantised_input(x).detach()
    codes = (values / rounding.scale).round().to(torch.uint8)
    results = []
    for arguments in ({"codes": codes}, {"rounded": True}):
        leaf = values.clone().requires_grad_()
        output = made(leaf, **arguments)
        results.append([output, *torch.autograd.grad(output.square().sum(), [leaf, made.weight])])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@needs_products
@pytest.mark.parametrize(
    "options",
    [{"weight_bits": 9}, {"input_bits": 9}, {"signed_input": True}, {"groups": 3}, {"padding_mode": "circular"}],
)
def test_what_does_not_fit_is_left_to_others(options: dict) -> None:
    assert QuantConv2d(9, 12, 3, padding=1).input_rounding().codes
    assert not QuantConv2d(9, 12, 3, padding=1, **options).input_rounding().codes
