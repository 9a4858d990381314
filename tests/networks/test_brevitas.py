"""Layers of Brevitas are taken with the weights that they round to; by what they offer, and with the package itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError
from xpert.networks.quantised import quantise, quantised_layers


class Rounding(nn.Conv2d):
    """What a layer of Brevitas offers: a weight that is rounded as it computes."""

    step: float | Tensor = 0.01
    zero = 0.0

    def quant_weight(self) -> Any:
        step = torch.as_tensor(self.step)
        codes = (self.weight / step).round().clamp(-7, 7)
        return SimpleNamespace(
            value=codes * step, scale=step, zero_point=torch.tensor(self.zero), bit_width=torch.tensor(4.0)
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.quant_weight().value, self.bias, padding=self.padding)  # pyright: ignore[reportArgumentType]


def network(**changes: Any) -> nn.Module:
    torch.manual_seed(0)
    layer = Rounding(3, 8, 3, padding=1)
    for name, value in changes.items():
        setattr(layer, name, value)
    return nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)).eval()


IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_weights_keep_their_grid() -> None:
    """Codes are those of the layer, though its largest is not 7: an own range would have other steps."""
    model = network(step=0.05)
    made = quantise(model, IMAGES, weight_bits=4)
    layer = quantised_layers(made)["0"]
    integer = layer.integer_weight()
    expected = model[0].quant_weight()  # pyright: ignore[reportIndexIssue, reportCallIssue]
    assert float(integer.scale) == pytest.approx(0.05)
    assert torch.equal(integer.value * 0.05, expected.value)
    assert int(integer.value.abs().max()) < 7
    with torch.no_grad():
        assert made[0](IMAGES) == pytest.approx(model[0](IMAGES), abs=0.02)  # pyright: ignore[reportIndexIssue, reportCallIssue]


@pytest.mark.parametrize("changes", [{"step": torch.full((8, 1, 1, 1), 0.05)}, {"zero": 1.0}])
def test_other_grids_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a Rounding rounds weights with a scale for each channel, or around another"):
        quantise(network(**changes), IMAGES)


def test_a_layer_that_rounds_more_than_its_weights_is_refused() -> None:
    model = network(input_quant=SimpleNamespace(is_quant_enabled=True))
    with pytest.raises(ConfigError, match="layer '0' is a Rounding, which computes in its own way"):
        quantise(model, IMAGES)


@pytest.mark.filterwarnings("ignore")
def test_brevitas_itself() -> None:
    qnn = pytest.importorskip("brevitas.nn", reason="brevitas is not installed")
    torch.manual_seed(0)
    model = nn.Sequential(
        qnn.QuantConv2d(3, 8, 3, padding=1), qnn.QuantReLU(), nn.Flatten(), qnn.QuantLinear(512, 4, bias=True)
    ).eval()
    made = quantise(model, IMAGES)
    for name, layer in quantised_layers(made).items():
        codes = model.get_submodule(name).quant_weight().int()  # pyright: ignore[reportCallIssue]
        assert torch.equal(layer.integer_weight().value.int(), codes.int())
    with torch.no_grad():
        assert (made(IMAGES) - model(IMAGES)).abs().max() < 0.02 * model(IMAGES).abs().max()
