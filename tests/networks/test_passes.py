"""The C code against torch's own operations: values and gradients."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from xpert.native.compiler import BUILDS, FLAGS, build
from xpert.networks import passes
from xpert.networks.passes import Norm, Pooling, Rounding, normalised, rounded

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

BFLOAT16 = 2.0**-8
"""Largest relative error of one rounding."""


@pytest.fixture(scope="module", params=BUILDS)
def each_build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each build, where this processor runs it, in the place of the best one."""
    folder, builds = tmp_path_factory.mktemp("passes"), list(BUILDS)
    source = passes.CODE.source
    library = passes.CODE.load(build("cc", source, folder, (*FLAGS, *BUILDS["any"])))
    best = library.best_build().decode()
    if builds.index(request.param) > builds.index(best):
        pytest.skip(f"this processor runs {best}")
    library = passes.CODE.load(build("cc", source, folder, (*FLAGS, *BUILDS[request.param])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(passes.CODE), "library", lambda self: library)
        yield


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of any kind, most of them awkward."""
    pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
    window = draw(pairs)
    pooling = draw(st.sampled_from([
        None,
        Pooling((2, 2), (2, 2), (0, 0)),
        Pooling(window, draw(pairs), (window[0] // 2, 0)),
    ]))  # fmt: skip
    added = pooling is None and draw(st.booleans())
    shape = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 3, 7, 8, 16, 17, 24, 64, 100])), *(
        draw(st.integers(1, 9)) for _ in range(2)
    )  # fmt: skip
    return {
        "shape": shape,
        "pooling": pooling,
        "added": added,
        "relu": added or draw(st.booleans()),
        "bits": None if added else draw(st.sampled_from([None, 1, 4, 8])),
        "affine": draw(st.booleans()),
        "zero": draw(st.booleans()),
        "seed": draw(st.integers(0, 1 << 30)),
    }


def made(problem: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor | None]:
    """Tensors of a problem; maps in the number format, so that both sides see the same."""
    generator = torch.Generator().manual_seed(problem["seed"])
    shape, channels = problem["shape"], problem["shape"][1]
    maps = (torch.randn(2, *shape, generator=generator) * 3 + 1).to(dtype)
    scale = torch.randn(channels, generator=generator)
    if problem["zero"]:
        scale[0] = 0
    return {
        "y": maps[0].contiguous(memory_format=torch.channels_last),
        "scale": scale if problem["affine"] else None,
        "shift": torch.randn(channels, generator=generator) if problem["affine"] else None,
        "added": maps[1] if problem["added"] else None,
        "clip": torch.tensor(1.3) if problem["bits"] else None,
    }


class TorchRounding(torch.autograd.Function):
    """Rounding to codes with the gradients of `QuantConv2d.quantised_input`, from their definition."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, largest: int) -> Tensor:
        step = clip / largest
        result = (x.clamp(0, float(clip)) * (1 / step)).round() * step
        ctx.save_for_backward(x, result, clip)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, result, clip = ctx.saved_tensors
        inside, above = (x > 0) & (x < clip), x >= clip
        of_clip = torch.where(above, 1.0, torch.where(inside, (result - x) / clip, 0.0))
        return gradient * inside, (gradient * of_clip).sum() / x.shape[1] ** 0.5, None


def by_torch(problem: dict[str, Any], tensors: dict[str, Tensor | None], norm: tuple[Tensor, Tensor]) -> Tensor:
    y, scale, shift, added, clip = tensors.values()
    assert y is not None
    x = F.batch_norm(y, *norm, scale, shift, training=True, momentum=0.3, eps=1e-4)
    x = x if added is None else x + added
    x = F.relu(x) if problem["relu"] else x
    x = F.max_pool2d(x, *problem["pooling"]) if problem["pooling"] else x
    return x if clip is None else TorchRounding.apply(x, clip, 2 ** problem["bits"] - 1)


def ours(problem: dict[str, Any], tensors: dict[str, Tensor | None], norm: tuple[Tensor, Tensor]) -> Tensor:
    clip, largest = tensors["clip"], 2 ** (problem["bits"] or 1) - 1
    maps = {name: tensor for name, tensor in tensors.items() if name != "clip"}
    rounding = None if clip is None else Rounding(clip, clip.detach() / largest, largest)
    return normalised(  # type: ignore[misc]
        **maps, norm=Norm(*norm, 0.3, 1e-4), relu=problem["relu"], rounding=rounding, pooling=problem["pooling"]
    ).values


def results(function: Any, problem: dict[str, Any], tensors: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """Value, statistics, and gradients of a weighted sum."""
    leaves = {name: None if x is None else x.detach().clone().requires_grad_() for name, x in tensors.items()}
    y = tensors["y"]
    assert y is not None
    channels, double = y.shape[1], y.dtype == torch.float64
    norm = tuple(x.double() if double else x for x in (torch.zeros(channels), torch.ones(channels)))
    value = function(problem, leaves, norm)
    weight = torch.randn(value.shape, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16).to(value.dtype)
    (value * weight).sum().backward()
    found = {"value": value.detach(), "mean": norm[0], "variance": norm[1]}
    return found | {f"gradient of {name}": x.grad for name, x in leaves.items() if x is not None and x.grad is not None}


def on_an_edge(problem: dict[str, Any], tensors: dict[str, Tensor | None]) -> bool:
    """Whether a value lies where rounding decides between two codes or sides of the range, or two are nearly equal."""
    precise = {name: None if x is None else x.double() for name, x in tensors.items()}
    channels = problem["shape"][1]
    norm = torch.zeros(channels).double(), torch.ones(channels).double()
    x = by_torch(problem | {"relu": False, "pooling": None, "bits": None}, precise | {"clip": None}, norm)
    near = [(x.abs() < 1e-5).any()] if problem["relu"] or problem["bits"] else []
    if problem["bits"]:
        place = x / 1.3 * (2 ** problem["bits"] - 1)
        near += [((place - 0.5 - (place - 0.5).round()).abs() < 1e-4).any(), ((x - 1.3).abs() < 1e-5).any()]
    return any(near)


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_in_float32_it_is_torch_to_rounding(each_build: None, problem: dict[str, Any]) -> None:
    n, _, height, width = problem["shape"]
    assume(n * height * width > 1)
    pooling = problem["pooling"]
    tensors = made(problem, torch.float32)
    y = tensors["y"]
    assert y is not None
    assume(pooling is None or passes.can_pool(pooling, y))
    assume(y.flatten(2).transpose(0, 1).flatten(1).var(1).min() > 0.01)  # else all is rounding
    assume(not on_an_edge(problem, tensors))
    expected = results(by_torch, problem, {name: None if x is None else x.double() for name, x in tensors.items()})
    found = results(ours, problem, tensors)
    assert found["value"].is_contiguous(memory_format=torch.channels_last)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(found[name].double() / scale, value / scale, rtol=1e-4, atol=2e-5, msg=name)


@settings(max_examples=80, deadline=None)
@given(problem=problems())
def test_in_bfloat16_it_is_float32_on_the_same_numbers(each_build: None, problem: dict[str, Any]) -> None:
    """What is stored is rounded, nothing else: no intermediate value is."""
    n, _, height, width = problem["shape"]
    assume(n * height * width > 1)
    tensors = made(problem, torch.bfloat16)
    wide = {name: x if x is None or name in ("scale", "shift", "clip") else x.float() for name, x in tensors.items()}
    y = wide["y"]
    assert y is not None
    assume(problem["pooling"] is None or passes.can_pool(problem["pooling"], y))
    assume(y.flatten(2).transpose(0, 1).flatten(1).var(1).min() > 0.01)
    assume(problem["pooling"] is None or no_ties(y))
    found, expected = results(ours, problem, tensors), results(ours, problem, wide)
    assert found["value"].dtype == torch.bfloat16
    for name, value in expected.items():
        if found[name].dtype == torch.bfloat16:
            assert ((found[name].float() - value).abs() <= value.abs() * BFLOAT16 + 1e-30).all(), name
        else:
            torch.testing.assert_close(found[name], value, msg=name)


def no_ties(y: Tensor) -> bool:
    """Whether all values of a channel differ."""
    return all(len(channel.unique()) == channel.numel() for channel in y.transpose(0, 1).flatten(1))


@settings(max_examples=60, deadline=None)
@given(problem=problems(), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_rounding_alone(each_build: None, problem: dict[str, Any], dtype: torch.dtype) -> None:
    x = made(problem, dtype)["y"]
    assert x is not None
    largest = 2 ** (problem["bits"] or 8) - 1
    clip, step = torch.tensor(1.3), torch.tensor(1.3) / largest
    place = x.double() / step
    assume(((place - 0.5 - (place - 0.5).round()).abs() > 1e-4).all())
    found, expected = (
        run(x.detach().clone().requires_grad_(), clip.clone().requires_grad_())
        for run in (
            lambda x, clip: graded(rounded(x, Rounding(clip, step, largest)).values, x, clip),
            lambda x, clip: graded(TorchRounding.apply(x.float(), clip, largest).to(dtype), x, clip),
        )
    )
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[2], expected[2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_are_the_rounded_values_in_steps(each_build: None, dtype: torch.dtype, bits: int) -> None:
    problem = {"shape": (3, 21, 5, 7), "bits": bits, "seed": 2, "affine": True, "added": False, "zero": False}
    y, clip, largest = made(problem, dtype)["y"], torch.tensor(1.3), 2**bits - 1
    assert y is not None
    rounding = Rounding(clip, clip / largest, largest, codes=True)
    pooling = Pooling((2, 2), (2, 2), (0, 0))
    for values, codes in (
        rounded(y, rounding),
        normalised(y, None, None, Norm(None, None, 0.0, 1e-5), rounding=rounding),
        normalised(y, None, None, Norm(None, None, 0.0, 1e-5), rounding=rounding, pooling=pooling),
    ):
        assert codes is not None
        assert codes.dtype == torch.uint8
        assert codes.stride() == values.stride()
        assert codes.unique().numel() > min(largest, 20)
        assert torch.equal((codes * rounding.scale).to(dtype), values)


def graded(value: Tensor, *leaves: Tensor) -> list[Tensor]:
    """A value, and the gradients of its weighted sum."""
    weight = torch.randn(value.shape, generator=torch.Generator().manual_seed(3)).to(value.dtype)
    return [value.detach(), *torch.autograd.grad((value * weight).sum(), leaves)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_in_its_channel(each_build: None, dtype: torch.dtype, wrong: float) -> None:
    """As in torch: the channel is lost, forward and backward, and no other."""
    problem = {
        "shape": (2, 20, 4, 4),
        "pooling": Pooling((2, 2), (2, 2), (0, 0)),
        "relu": True,
        "bits": 4,
        "seed": 1,
        "zero": False,
    }
    tensors = made(problem | {"affine": True, "added": False, "zero": False}, dtype)
    y = tensors["y"]
    assert y is not None
    y[1, 7, 2, 3] = wrong
    found = results(ours, problem, tensors)
    expected = results(by_torch, problem, {name: None if x is None else x.double() for name, x in tensors.items()})
    for name, value in expected.items():
        if name != "gradient of clip":
            assert torch.equal(found[name].isnan(), value.isnan()) or "gradient of s" in name, name
    assert found["value"][:, 7].isnan().all()
    assert found["gradient of y"][:, 7].isnan().all()
    assert not found["value"][:, [*range(7), *range(8, 20)]].isnan().any()
    assert found["gradient of scale"].isnan().sum() == 1


@pytest.mark.parametrize("added", [False, True])
def test_threads_change_nothing(each_build: None, added: bool) -> None:
    pooling = None if added else Pooling((3, 3), (2, 2), (1, 1))
    problem = {
        "shape": (16, 48, 24, 24),
        "pooling": pooling,
        "added": added,
        "relu": True,
        "bits": None,
        "seed": 0,
        "zero": False,
    }
    tensors = made(problem | {"affine": True, "zero": True}, torch.bfloat16)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(results(ours, problem, tensors))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for name, value in found[0].items():
            assert torch.equal(other[name], value), name


def test_a_mean_far_from_zero_costs_no_digits(each_build: None) -> None:
    y = torch.randn(8, 5, 9, 9, generator=torch.Generator().manual_seed(0)) * 0.01 + 100
    y = y.contiguous(memory_format=torch.channels_last)
    mean, variance = torch.zeros(5), torch.ones(5)
    found = normalised(y, None, None, Norm(mean, variance, 1.0, 0.0), relu=False).values
    exact = y.double()
    axes = (0, 2, 3)
    torch.testing.assert_close(variance.double(), exact.var(axes), rtol=1e-5, atol=0)
    centred = exact - exact.mean(axes, keepdim=True)
    expected = centred / centred.square().mean(axes, keepdim=True).sqrt()
    # Inputs and the norm's offset, 10,000 deviations each, are rounded to 1/1024 and 1/2048 of one.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-3)
