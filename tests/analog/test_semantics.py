"""What holds for whole networks, whatever the settings."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import IDEAL, AnalogLayer, AnalogSettings, analog_layers, at_precision, reprogram, to_analog
from xpert.analog import columns as columns_module
from xpert.design import Chip, Design, Device, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import QuantConv2d, QuantLayer, QuantLinear, calibrate_quantisers, quantised_layers

Designs = Callable[..., Design]
FULL_SCALE = AnalogSettings(adc_range="full_scale")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact(layer: QuantLayer, x: Tensor) -> Tensor:
    """The quantised layer in integers (float64 holds them exactly), scaled once."""
    code, weight = layer.input_code(x), layer.integer_weight()
    inputs, weights = (code.value - code.zero_point).double(), weight.value.double()
    if isinstance(layer, QuantConv2d):
        sums = F.conv2d(inputs, weights, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    else:
        sums = F.linear(inputs, weights)
    output = (sums * (code.scale.double() * weight.scale.double())).float()
    if layer.bias is None:
        return output
    return output + (layer.bias.reshape(-1, 1, 1) if isinstance(layer, QuantConv2d) else layer.bias)


def exactly(model: nn.Module) -> nn.Module:
    """A copy of a quantised network that computes in exact integers."""
    model = copy.deepcopy(model)
    for layer in quantised_layers(model).values():
        layer.forward = lambda x, layer=layer: exact(layer, x)  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize("encoding", ["offset", "differential"])
@pytest.mark.parametrize("input_bits", [1, 3, 8, 11])
def test_ideal_equals_the_quantised_network(
    model: nn.Module, design_of: Designs, images: Tensor, encoding: str, input_bits: int
) -> None:
    ideal = to_analog(
        model,
        design_of(input_bits=input_bits, encoding=encoding),
        generator=seeded(0),
        settings=IDEAL,
    )
    reference = copy.deepcopy(model)
    for layer in quantised_layers(reference).values():
        layer.set_precision(8, input_bits)
    with torch.no_grad():
        assert torch.equal(reference(images), exactly(reference)(images))
        for size in (1, 5, 12):
            assert torch.equal(torch.cat([ideal(part) for part in images.split(size)]), reference(images))


def test_original_model_is_left_alone(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    analog = to_analog(model, design_of(input_bits=4), generator=seeded(0), calibration=images)
    assert list(analog_layers(analog)) == list(quantised_layers(model))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert {layer.input_bits for layer in quantised_layers(model).values()} == {8}


@pytest.mark.parametrize("encoding", ["offset", "differential"])
@pytest.mark.parametrize("cell_bits", [1, 3, 4])
def test_enough_levels_change_nothing_by_either_path(
    model: nn.Module,
    design_of: Designs,
    images: Tensor,
    encoding: str,
    cell_bits: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = AnalogSettings(adc_range="full_scale")
    design = design_of(adc_bits=9, encoding=encoding, device={"cell_bits": cell_bits, "programming_sigma": 0})
    with torch.no_grad():
        expected = exactly(model)(images)
        analog = to_analog(model, design, generator=None, settings=chosen)
        assert all(layer.lossless for layer in analog_layers(analog).values())
        assert torch.equal(analog(images), expected)
        # Now every column sum is converted.
        monkeypatch.setattr(AnalogLayer, "lossless", False)
        converted = to_analog(model, design, generator=None, settings=chosen)
        assert torch.equal(converted(images), expected)


def test_too_few_levels_are_not_called_lossless(model: nn.Module, design_of: Designs) -> None:
    analog = to_analog(model, design_of(adc_bits=6), generator=None, settings=FULL_SCALE)
    assert not any(layer.lossless for layer in analog_layers(analog).values())


def test_variation_is_never_called_lossless(model: nn.Module, design_of: Designs) -> None:
    analog = to_analog(model, design_of(adc_bits=12, sigma=0.05), generator=seeded(0), settings=FULL_SCALE)
    assert not any(layer.lossless for layer in analog_layers(analog).values())


@pytest.mark.parametrize("changes", [{}, {"analog": {"adc_range": "unbounded"}}, {"encoding": "differential"}], ids=str)
def test_an_image_does_not_depend_on_its_batch(
    model: nn.Module, design_of: Designs, images: Tensor, changes: dict[str, object]
) -> None:
    analog = to_analog(model, design_of(sigma=0.1, **changes), generator=seeded(0), calibration=images)
    layer = next(iter(analog_layers(analog).values()))
    with torch.no_grad():
        together = layer(images)
        for size in (1, 5, 7):
            assert torch.equal(torch.cat([layer(part) for part in images.split(size)]), together)
        # A bright neighbour must not move an image's ADC range.
        bright = torch.cat([images[:1], 50 * images[1:2]])
        assert torch.equal(layer(bright)[0], together[0])


def test_chunks_and_threads_change_nothing(
    model: nn.Module, design_of: Designs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    analog = to_analog(model, design_of(sigma=0.1), generator=seeded(0), calibration=images)
    with torch.no_grad():
        expected = analog(images)
        monkeypatch.setenv("XPERT_NATIVE", "0")  # the C code has chunks and threads of its own, see test_native.py
        for chunk in (1, 1000, 1 << 24):
            monkeypatch.setattr(columns_module, "CHUNK", chunk)
            assert torch.equal(analog(images), expected)


def test_column_sharing_changes_no_result(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    """Sharing an ADC takes time, not accuracy, where ADCs are alike."""
    design = design_of(sigma=0.1)
    alike = AnalogSettings(adc_offset_sigma=0)
    outputs = []
    for columns in (2, 16):
        periphery = tuple(entry.replace(columns_per_adc=columns) for entry in design.periphery)
        shared = design.replace(periphery=periphery)
        outputs.append(to_analog(model, shared, generator=seeded(0), settings=alike, calibration=images)(images))
    assert torch.equal(*outputs)


def test_same_seed_same_chip(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    def output(seed: int) -> Tensor:
        analog = to_analog(model, design_of(sigma=0.1), generator=seeded(seed), calibration=images)
        with torch.no_grad():
            return analog(images)

    assert torch.equal(output(3), output(3))
    assert not torch.equal(output(3), output(4))


def test_reprogram_is_a_new_conversion(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of(sigma=0.1)
    analog = to_analog(model, design, generator=seeded(3), calibration=images)
    reprogram(analog, seeded(4))
    fresh = to_analog(model, design, generator=seeded(4), calibration=images)
    with torch.no_grad():
        assert torch.equal(analog(images), fresh(images))


def test_changing_precision_keeps_the_chip(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(sigma=0.1), generator=seeded(3), calibration=images)
    before = [layer.conductance.clone() for layer in analog_layers(analog).values()]
    other = design_of(adc_bits=4, input_bits=5, sigma=0.1)
    fresh = to_analog(model, other, generator=seeded(3), calibration=images)
    with torch.no_grad(), at_precision(analog, other):
        assert all(map(torch.equal, before, [layer.conductance for layer in analog_layers(analog).values()]))
        assert torch.equal(analog(images), fresh(images))


def test_state_survives_a_round_trip(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of(sigma=0.1)
    analog = to_analog(model, design, generator=seeded(3), calibration=images)
    other = to_analog(model, design, generator=seeded(4), calibration=images)
    with torch.no_grad():
        other(images)
        other.load_state_dict(analog.state_dict())
        assert torch.equal(other(images), analog(images))


def mean_squared_error(layer: QuantLayer, x: Tensor, chip: Chip, adc_bits: int, chosen: AnalogSettings) -> float:
    """Over several chips, against the exact layer."""
    analog = AnalogLayer(copy.deepcopy(layer), chip.replace(analog=chosen), Periphery(adc_bits=adc_bits))
    analog.calibrate_adcs(analog.sample_inputs(x, 64))
    errors = []
    with torch.no_grad():
        for seed in range(4):
            analog.program(seeded(seed))
            errors.append(F.mse_loss(analog(x), exact(layer, x)))
    return float(torch.stack(errors).mean())


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 1000),
    encoding=st.sampled_from(["offset", "differential"]),
    adc_range=st.sampled_from(["calibrated", "full_scale"]),
    sigma=st.sampled_from([0.0, 0.05]),
)
def test_more_adc_bits_err_less(seed: int, encoding: str, adc_range: str, sigma: float) -> None:
    layer, x = random_layer(seed)
    chosen = AnalogSettings(adc_range=adc_range, adc_tail=0, adc_offset_sigma=0)  # type: ignore[arg-type]
    chip = Chip(encoding=encoding, device=Device(programming_sigma=sigma))
    errors = [mean_squared_error(layer, x, chip, bits, chosen) for bits in (2, 4, 6, 8, 12)]
    assert all(finer <= coarser * 1.02 for coarser, finer in itertools.pairwise(errors))
    assert errors[-1] < errors[0]


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 1000),
    encoding=st.sampled_from(["offset", "differential"]),
    adc_range=st.sampled_from(["calibrated", "unbounded"]),
)
def test_less_variation_errs_less(seed: int, encoding: str, adc_range: str) -> None:
    layer, x = random_layer(seed)
    chosen = AnalogSettings(adc_range=adc_range, adc_offset_sigma=0)  # type: ignore[arg-type]
    errors = [
        mean_squared_error(layer, x, Chip(encoding=encoding, device=Device(programming_sigma=sigma)), 8, chosen)
        for sigma in (0.0, 0.01, 0.1, 0.4)
    ]
    assert all(less < more for less, more in itertools.pairwise(errors))


def random_layer(seed: int) -> tuple[QuantLayer, Tensor]:
    layer = QuantLinear(80, 16, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=seeded(seed)))
    x = torch.randn((64, 80), generator=seeded(seed + 1)).relu()
    calibrate_quantisers(nn.Sequential(layer), x)
    return layer, x


def test_gradient_is_that_of_the_quantised_network(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(sigma=0.05), generator=seeded(0), calibration=images)
    # One layer alone: below it, activations differ between the two networks, and so would gradients.
    name, layer = next(iter(analog_layers(analog).items()))
    quantised = model.get_submodule(name)
    weight = torch.linspace(-1, 1, 8).reshape(-1, 1, 1)
    gradients = []
    for module, parameter in ((layer, layer.layer.weight), (quantised, quantised.weight)):
        x = images.clone().requires_grad_()
        (module(x) * weight).sum().backward()
        gradients += [x.grad, parameter.grad]
        parameter.grad = None
    assert torch.equal(gradients[0], gradients[2])
    assert torch.equal(gradients[1], gradients[3])
    assert gradients[0].abs().sum() > 0


def test_analog_network_learns(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(sigma=0.05), generator=seeded(0), calibration=images)
    labels = torch.arange(len(images)) % 10
    optimiser = torch.optim.Adam(analog.parameters(), lr=0.02)
    losses = []
    analog.train()
    for step in range(20):
        reprogram(analog, seeded(step))
        loss = F.cross_entropy(analog(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_forward_value_is_the_same_with_and_without_gradient(
    model: nn.Module, design_of: Designs, images: Tensor
) -> None:
    analog = to_analog(model, design_of(sigma=0.05), generator=seeded(0), calibration=images)
    with torch.no_grad():
        expected = analog(images)
    assert torch.equal(analog(images).detach(), expected)


def test_shortened_products_are_refused(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, calibration=images)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with torch.no_grad(), pytest.raises(ConfigError, match="float32 products"):
            analog(images)
    finally:
        torch.set_float32_matmul_precision(before)


def test_linear_layer_takes_any_leading_shape() -> None:
    layer, x = random_layer(0)
    analog = AnalogLayer(layer, Chip(analog=FULL_SCALE), Periphery())
    with torch.no_grad():
        flat = analog(x)
        assert torch.equal(analog(x.reshape(4, 2, 8, 80)), flat.reshape(4, 2, 8, 16))
        assert torch.equal(analog(x[0]), flat[0])


def test_unbatched_image(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, calibration=images)
    layer = next(iter(analog_layers(analog).values()))
    with torch.no_grad():
        assert torch.equal(layer(images[0]), layer(images)[0])
        assert layer(images[:0]).shape == layer(images)[:0].shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_padding_same_and_valid() -> None:
    x = torch.randn((2, 3, 7, 6), generator=seeded(0)).relu()
    for padding in ("same", "valid"):
        layer = QuantConv2d(3, 4, (2, 3), padding=padding, dilation=(3, 1), bias=False)
        calibrate_quantisers(nn.Sequential(layer), x)
        analog = AnalogLayer(layer, Chip(analog=IDEAL), Periphery())
        with torch.no_grad():
            assert torch.equal(analog(x), exact(layer, x))
