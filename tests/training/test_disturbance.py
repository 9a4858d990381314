"""What disturbs a training, while it trains and not afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xpert.errors import ConfigError
from xpert.networks.quantised import QuantConv2d, QuantLinear, quantised_layers
from xpert.training import Disturbance
from xpert.training.disturbance import training_noise


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(QuantConv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), QuantLinear(8 * 64, 3))


IMAGES = torch.rand(64, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def test_output_noise_has_the_power_that_was_measured() -> None:
    model = network().train()
    layer = model[0]
    clean = layer(IMAGES)
    with training_noise(model, Disturbance(output_noise={"0": 0.04, "3": 0.0}), 0.0, torch.Generator().manual_seed(0)):
        noisy = layer(IMAGES)
        assert not torch.equal(layer(IMAGES), noisy)  # drawn anew
        model.eval()
        evaluated = layer(IMAGES)
        assert torch.equal(layer(IMAGES), evaluated)
        model.train()
    signal = clean.var(dim=(0, 2, 3), correction=0).mean()
    ratio = (noisy - clean).square().mean() / signal
    assert ratio.item() == pytest.approx(0.04, rel=0.03)
    assert torch.equal(layer(IMAGES), clean)


def test_noise_of_the_device_reaches_the_weights() -> None:
    model = network().train()
    table = torch.linspace(2.0, 16.0, 256)
    with training_noise(model, Disturbance(weight_deviation=table), "device", torch.Generator().manual_seed(0)):
        layer = model[3]
        integer, scale = layer.integer_weight()
        deviation = (layer.quantised_weight() - integer * scale) / scale / table[integer + 128]
        assert deviation.std().item() == pytest.approx(1, rel=0.05)
    assert all(layer.weight_noise is None for layer in quantised_layers(model).values())


def test_every_step_is_announced_and_the_source_is_one() -> None:
    generator = torch.Generator()
    seen: list[torch.Generator] = []
    with training_noise(network(), Disturbance(before_step=seen.append), 0.1, generator) as before_step:
        before_step()
        before_step()
    assert seen == [generator, generator]


def test_what_cannot_be_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match="'device' needs the deviation of the device's weights"),
        training_noise(network(), Disturbance(), "device", torch.Generator()),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="the network has no layer 'conv9'"),
        training_noise(network(), Disturbance(output_noise={"conv9": 0.1}), 0.0, torch.Generator()),
    ):
        pass


def test_gradients_pass_the_noise() -> None:
    model = network().train()
    with training_noise(model, Disturbance(output_noise={"0": 0.1}), 0.05, torch.Generator().manual_seed(0)):
        model(IMAGES).square().mean().backward()
    for layer in quantised_layers(model).values():
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().sum() > 0
