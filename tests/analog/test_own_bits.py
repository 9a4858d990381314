"""Layers whose weights and cells have precisions of their own, on the chips of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xpert.analog import analog_layers, at_precision, layer_errors, to_analog
from xpert.analog.draws import chip_generator
from xpert.analog.store import load_analog, save_analog
from xpert.design import Design
from xpert.errors import ConfigError
from xpert.networks.quantised import quantised_layers

Designs = Callable[..., Design]
BITS = ("weight_bits", "cell_bits")


def outputs(model: nn.Module, design: Design, images: torch.Tensor) -> torch.Tensor:
    """Of a network that was put on the design's own chip."""
    analog = to_analog(model, design, generator=chip_generator(0, 0), calibration=images)
    with torch.no_grad():
        return analog(images)


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_the_same_bits_in_all_layers_are_a_chip_of_these_bits(
    model: nn.Module, design_of: Designs, images: torch.Tensor, encoding: str
) -> None:
    """Ranges follow from the cells alone, so that the inputs on which others are calibrated play no part."""
    settings = {"encoding": encoding, "analog": {"adc_range": "full_scale", "adc_offset_sigma": 0.0}, "sigma": 0.2}
    layers = design_of(**settings).with_values(BITS, [(5, 2)] * 4)
    device = {"programming_sigma": 0.2, "cell_bits": 2}
    chip = design_of(**settings | {"weight_bits": 5, "device": device})
    assert torch.equal(outputs(model, layers, images), outputs(model, chip, images))


def test_a_network_takes_other_bits_and_its_own_again(
    model: nn.Module, design_of: Designs, images: torch.Tensor
) -> None:
    analog = {"adc_offset_sigma": 0.5, "ir_drop": True, "adc_noise": 0.3}
    plain = design_of(sigma=0.2, analog=analog)
    mixed = plain.with_values(BITS, [(4, 2), (8, 1), (None, None), (6, 3)])
    network = to_analog(model, plain, generator=chip_generator(0, 0), calibration=images)
    for design in (mixed, plain, mixed):
        with torch.no_grad(), at_precision(network, design):
            for layer in analog_layers(network).values():
                layer.images_read = 0
            found = network(images)
        assert torch.equal(found, outputs(model, design, images))
    assert not torch.equal(outputs(model, mixed, images), outputs(model, plain, images))


def test_a_quantised_network_takes_the_layers_bits(model: nn.Module, design_of: Designs) -> None:
    design = design_of().with_values(BITS, [(4, 2), (8, 1), (None, None), (6, 3)])
    with at_precision(model, design):
        assert [layer.weight_bits for layer in quantised_layers(model).values()] == [4, 8, 8, 6]
    assert {layer.weight_bits for layer in quantised_layers(model).values()} == {8}


def test_errors_of_weights_add_to_those_of_conversions(
    model: nn.Module, design_of: Designs, images: torch.Tensor
) -> None:
    """A bit less of weight is about four times the error; without conversion cells of any size give the same."""
    design = design_of(analog={"adc_range": "unbounded"})
    options = [(6, 8, bits, cell) for bits in (None, 7, 6, 5, 4) for cell in (1, 2)]
    errors = layer_errors(model, design, images, options).reshape(4, 5, 2)
    assert np.allclose(errors[..., 0], errors[..., 1], rtol=1e-6, atol=1e-12)
    assert np.all(errors[:, 0] < 1e-10), "the reference has weights at the chip's precision"
    steps = errors[:, 2:, 0] / errors[:, 1:-1, 0]
    assert np.all((steps > 2) & (steps < 8))
    # With ADCs of few bits, smaller cells have smaller sums, which come closer.
    coarse = layer_errors(model, design_of(), images, [(4, 8, None, cell) for cell in (1, 4)])
    assert coarse[:, 0].mean() < coarse[:, 1].mean()
    assert np.array_equal(coarse[:, 1:], layer_errors(model, design_of(), images, [(4, 8)]))


def test_chips_from_a_file_keep_their_bits(
    model: nn.Module, design_of: Designs, images: torch.Tensor, tmp_path: Path
) -> None:
    design = design_of(sigma=0.2).with_values(BITS, [(4, 2), (8, 1), (None, None), (6, 3)])
    network = to_analog(model, design, generator=chip_generator(0, 0), calibration=images)
    save_analog(network, tmp_path / "chip.safetensors")
    loaded = load_analog(model, design, tmp_path / "chip.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))
        with at_precision(loaded, design_of()), pytest.raises(ConfigError, match="precisions of that file"):
            loaded(images)
        for layer in [*analog_layers(loaded).values(), *analog_layers(network).values()]:
            layer.images_read = 0
        assert torch.equal(loaded(images), network(images))
