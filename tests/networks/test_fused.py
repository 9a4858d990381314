"""Networks in few passes beside the same networks module by module."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.networks import build, passes, space
from xpert.networks.fused import fused
from xpert.networks.quantised import QuantConv2d, QuantLinear, calibrate_quantisers, quantised_layers, set_weight_noise

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

CALLS = "xpert.networks.passes._run"


def vgg() -> nn.Module:
    return build(space("vgg11", (4, 8, 20), (3, 16, 16), 4).network((4, 8, 20, 4, 8, 8, 20, 8)))


def resnet() -> nn.Module:
    backbone = space("resnet20", (4, 8, 12), (3, 16, 16), 4)
    return build(backbone.network(tuple(8 for _ in backbone.default_channels)))


def convolution(inputs: int, outputs: int, **options: int) -> QuantConv2d:
    return QuantConv2d(inputs, outputs, 3, bias=False, **options)


def awkward() -> nn.Module:
    """Chains within chains, norms without some of what usually follows, pooling that overlaps, scales of both signs."""
    norms = [nn.BatchNorm2d(7), nn.BatchNorm2d(5, affine=False), nn.BatchNorm2d(6, momentum=None), nn.BatchNorm2d(4)]
    norms += [nn.BatchNorm2d(4, track_running_stats=False)]
    with torch.no_grad():
        for norm in norms:
            if norm.affine:
                norm.weight.copy_(torch.linspace(-1, 1.1, norm.num_features))
                norm.bias.copy_(torch.linspace(-0.5, 1, norm.num_features))
    return nn.Sequential(
        nn.Sequential(convolution(3, 7, signed_input=True), norms[0], nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        nn.Sequential(nn.Sequential(convolution(7, 5, padding=1)), norms[1], nn.MaxPool2d((2, 1))),
        nn.Dropout(0.0),
        convolution(5, 6, padding=1, input_bits=12),
        nn.Sequential(norms[2], nn.ReLU(inplace=True)),
        convolution(6, 4, padding=1, weight_bits=1),
        norms[3],
        norms[4],
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        QuantLinear(4, 4),
    )


MODELS = {"vgg": vgg, "resnet": resnet, "awkward": awkward}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """A network in training mode with clips in the middle of its values."""
    torch.manual_seed(1)
    model = MODELS[request.param]().to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    calibrate_quantisers(model, images())
    return model


def images(n: int = 24) -> Tensor:
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def step(model: nn.Module, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Logits, gradients and state of one training step."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(images())
    F.cross_entropy(logits.float(), torch.arange(len(logits)) % 4).backward()
    gradients = {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **gradients, **{name: x.clone() for name, x in model.state_dict().items()}}


def assert_alike(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Within a tolerance, which is relative to the length of each tensor; below 0.01 it is rounding."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name].double() - value.double()).norm()
        assert error <= tolerance * value.double().norm().clamp_min(0.01), (name, float(error))


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return sum(float((one[name].double() - value.double()).norm()) for name, value in other.items())


@needs_compiler
def test_one_step_is_the_same_but_for_codes_that_fall_the_other_way(model: nn.Module) -> None:
    """It is as near as the network itself with epsilons changed so little that only last digits differ."""
    nearly, other = copy.deepcopy(model), copy.deepcopy(model)
    for module in nearly.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps *= 1.1
    expected = step(model)
    with fused(other):
        found = step(other)
    assert found.keys() == expected.keys()
    assert distance(found, expected) < 2 * distance(step(nearly), expected) + 0.01


@needs_compiler
def test_without_rounding_to_codes_it_is_the_same_to_rounding(model: nn.Module) -> None:
    for layer in quantised_layers(model).values():
        layer.quantised = False
    other = copy.deepcopy(model)
    expected = step(model)
    with fused(other):
        assert_alike(step(other), expected, 2e-4)


@needs_compiler
def test_in_bfloat16_both_are_as_near_to_float32(model: nn.Module) -> None:
    plain, other = copy.deepcopy(model), copy.deepcopy(model)
    exact, expected = step(model), step(plain, torch.bfloat16)
    with fused(other):
        found = step(other, torch.bfloat16)
    assert 0 < distance(found, exact) < 1.2 * distance(expected, exact)


@needs_compiler
def test_every_pass_between_products_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each norm takes what follows along. What a block reads is rounded for its first layer and for its shortcut."""
    for make, norms, roundings in ((vgg, 8, 0), (resnet, 21, 9 + 2)):
        model = make().train()
        calls: list[tuple[str, bool]] = []
        run = passes._run

        def counted(function: str, common: dict, run: Callable = run, calls: list = calls, **more: object) -> object:
            calls.append((function, bool(common.get("normalise"))))
            return run(function, common, **more)

        monkeypatch.setattr(passes, "_run", counted)
        with fused(model):
            model(images()).sum().backward()
        monkeypatch.setattr(passes, "_run", run)
        for function in ("forward", "backward"):
            assert calls.count((function, True)) == norms
            assert calls.count((function, False)) == roundings


def test_a_model_is_as_before_after_it(model: nn.Module) -> None:
    names = [name for name, _ in model.named_modules()]
    state = list(model.state_dict())
    with fused(model):
        assert [name for name, _ in model.named_modules()] == names
        assert list(model.state_dict()) == state
    assert all("forward" not in vars(module) for module in model.modules())
    with pytest.raises(ZeroDivisionError), fused(model):
        raise ZeroDivisionError
    assert all("forward" not in vars(module) for module in model.modules())


def test_in_evaluation_nothing_changes(model: nn.Module) -> None:
    step(model)
    model.eval()
    with torch.no_grad():
        expected = model(images())
        with fused(model):
            assert torch.equal(model(images()), expected)


def test_without_the_c_code_torch_computes(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPERT_NATIVE", "0")
    other = copy.deepcopy(model)
    expected = step(model)
    with fused(other):
        found = step(other)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@needs_compiler
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, QuantConv2d, nn.Sequential])
def test_hooks_see_what_they_would_see(kind: type[nn.Module]) -> None:
    torch.manual_seed(1)
    model = awkward().train()
    calibrate_quantisers(model, images())
    other = copy.deepcopy(model)
    seen: list[list[Tensor]] = []
    for each in (model, other):
        values: list[Tensor] = []
        for module in each.modules():
            if isinstance(module, kind) and module is not each:
                module.register_forward_hook(
                    lambda _, x, y, values=values: values.extend((x[0].detach().clone(), y.detach().clone()))
                )
        seen.append(values)
    step(model)
    with fused(other):
        step(other)
    assert len(seen[0]) == len(seen[1]) > 0
    for expected, found in zip(*seen, strict=True):
        assert found.shape == expected.shape
        assert (found - expected).norm() <= 0.02 * expected.norm()


@needs_compiler
def test_a_chain_that_is_walked_by_hand_gives_what_its_modules_give() -> None:
    """Whoever takes values from between the modules finds them."""
    torch.manual_seed(1)
    chain = nn.Sequential(convolution(3, 4, signed_input=True), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)).train()
    values = []
    with fused(chain):
        x = images()
        for module in chain:
            x = module(x)
            values.append(x)
    assert values[1].amin() < 0
    assert values[2].shape == values[1].shape != values[3].shape


@needs_compiler
def test_noise_on_weights_and_modules_that_are_shared() -> None:
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    model = nn.Sequential(
        convolution(3, 4, signed_input=True), nn.BatchNorm2d(4), relu, pool,
        convolution(4, 4), nn.BatchNorm2d(4), relu, pool, nn.Flatten(), QuantLinear(16, 4),
    ).train()  # fmt: skip
    calibrate_quantisers(model, images())
    other = copy.deepcopy(model)
    for each in (model, other):
        set_weight_noise(each, 0.05, torch.Generator().manual_seed(4))
    expected = step(model)
    with fused(other):
        assert_alike(step(other), expected, 0.02)


def test_a_single_value_is_refused_as_torch_does() -> None:
    model = nn.Sequential(convolution(3, 4, signed_input=True), nn.BatchNorm2d(4), nn.ReLU()).train()
    with fused(model), pytest.raises(ValueError, match="more than 1 value per channel"):
        model(torch.ones(1, 3, 3, 3))
