"""Precisions are arguments: what is measured is the design that is given, and the network is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import IDEAL, analog_layers, at_precision, calibrate_adcs, layer_errors, ni_accuracy, to_analog
from xpert.analog.accuracy import SampledChips
from xpert.analog.precision import as_quantised
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Design, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import quantised_layers

Designs = Callable[..., Design]


def precisions(model: nn.Module) -> list[tuple[int, int, bool]]:
    """Weight and input bits, and the code of signed inputs, of every quantised layer."""
    layers = quantised_layers(model).values()
    return [(layer.weight_bits, layer.input_bits, layer.symmetric_input) for layer in layers]


def mixed(design: Design) -> Design:
    """Another input precision and another ADC precision in every layer."""
    return design.replace(periphery=tuple(Periphery(adc_bits=4 + i, input_bits=2 + i) for i in range(4)))


@pytest.fixture
def labels(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(dim=1)


def test_a_network_computes_at_a_designs_precisions_and_then_at_its_own(
    model: nn.Module, design_of: Designs, images: Tensor
) -> None:
    design = mixed(design_of(weight_bits=6, analog={"signed_inputs": "twos_complement"}))
    before = precisions(model)
    ideal = to_analog(model, design, generator=None, settings=design.chip.analog.replace(**_ideal()))
    with torch.no_grad(), at_precision(model, design):
        assert precisions(model) == [(6, 2 + i, True) for i in range(4)]
        assert torch.equal(model(images), ideal(images))
    assert precisions(model) == before


def _ideal() -> dict[str, object]:
    return {key: value for key, value in IDEAL.model_dump().items() if key in IDEAL.model_fields_set}


def test_an_analog_network_computes_at_a_designs_precisions_and_then_at_its_own(
    model: nn.Module, design_of: Designs, images: Tensor
) -> None:
    design = design_of(sigma=0.1)
    analog = to_analog(model, design, generator=torch.Generator().manual_seed(3), calibration=images)
    other = to_analog(model, mixed(design), generator=torch.Generator().manual_seed(3), calibration=images)
    with torch.no_grad():
        before = analog(images)
        with at_precision(analog, mixed(design)):
            found = [(layer.adc_bits, layer.input_bits) for layer in analog_layers(analog).values()]
            assert found == [(4, 2), (5, 3), (6, 4), (7, 5)]
            assert torch.equal(analog(images), other(images))
        assert torch.equal(analog(images), before)
    assert {(layer.adc_bits, layer.input_bits) for layer in analog_layers(analog).values()} == {(6, 8)}


@pytest.mark.parametrize("on_crossbars", [False, True])
def test_an_error_does_not_leave_other_precisions_behind(
    model: nn.Module, design_of: Designs, images: Tensor, on_crossbars: bool
) -> None:
    network = to_analog(model, design_of(), generator=None, calibration=images) if on_crossbars else model
    before = precisions(network)
    with pytest.raises(RuntimeError, match="within"), at_precision(network, mixed(design_of())):
        raise RuntimeError("within")
    assert precisions(network) == before
    if on_crossbars:
        with as_quantised(network, 3):
            assert {layer.input_bits for layer in analog_layers(network).values()} == {3}
        with pytest.raises(RuntimeError, match="within"), as_quantised(network, 3):
            raise RuntimeError("within")
        assert not any(layer.bypassed for layer in analog_layers(network).values())
        assert precisions(network) == before


def test_another_networks_design_is_refused(model: nn.Module, design_of: Designs) -> None:
    design = design_of()
    layers = design.network.layers
    renamed = layers[0].replace(name="other")
    other = design.replace(network=design.network.replace(layers=(renamed, *layers[1:])))
    with pytest.raises(ConfigError, match="differ"), at_precision(model, other):
        pass


def test_accuracy_does_not_depend_on_the_precisions_that_a_model_comes_with(
    model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor
) -> None:
    design = mixed(design_of(sigma=0.2))
    coarse = copy.deepcopy(model)
    for layer in quantised_layers(coarse).values():
        layer.set_precision(8, 1)
    found = ni_accuracy(model, design, images, labels, images, seed=0, chips=3)
    before = precisions(coarse)
    assert ni_accuracy(coarse, design, images, labels, images, seed=0, chips=3) == found
    assert (layer_errors(coarse, design, images, [(6, 8)]) == layer_errors(model, design, images, [(6, 8)])).all()
    assert precisions(coarse) == before


def test_sampled_chips_measure_the_design_that_is_given(
    model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor
) -> None:
    design = design_of(sigma=0.3)
    analog = to_analog(model, design, generator=None, calibration=images)
    sampled = SampledChips(analog, design, TestSet(images, labels, images), Sampling(seed=2, n_chips=3, batch_size=5))
    for one in (mixed(design), design):
        expected = ni_accuracy(model, one, images, labels, images, seed=2, chips=3)
        assert sampled.correct(one).mean(axis=1).tolist() == expected.chips
    assert {layer.input_bits for layer in analog_layers(analog).values()} == {8}


def test_ranges_are_calibrated_on_the_same_inputs_at_any_precision(
    model: nn.Module, design_of: Designs, images: Tensor
) -> None:
    analog = to_analog(model, design_of(), generator=None, calibration=images)
    expected = {name: layer.samples.clone() for name, layer in analog_layers(analog).items()}
    with at_precision(analog, mixed(design_of())):
        calibrate_adcs(analog, images)
    assert all(torch.equal(layer.samples, expected[name]) for name, layer in analog_layers(analog).items())
