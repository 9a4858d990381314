"""Runs that compute only what has changed give what runs of all layers give."""

from __future__ import annotations

import copy
from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import analog_layers, reprogram, rewind, to_analog
from xpert.analog.layer import AnalogLayer
from xpert.analog.precision import at_precision
from xpert.analog.recall import Recall, recorded
from xpert.design import AnalogSettings, Design
from xpert.networks.quantised import QuantLinear

Designs = Callable[..., Design]


@pytest.fixture
def network(model: nn.Module, design_of: Designs, images: Tensor) -> nn.Module:
    """On two chips whose reads are noisy."""
    design = design_of(sigma=0.2)
    settings = AnalogSettings(adc_noise=0.5)
    analog = to_analog(model, design, generator=None, settings=settings, calibration=images)
    reprogram(
        analog, [torch.Generator().manual_seed(seed) for seed in range(2)], [one.name for one in design.network.layers]
    )
    return analog


def changed(design: Design, layer: int) -> Design:
    bits = [[entry.adc_bits] for entry in design.periphery]
    bits[layer] = [2]
    return design.with_values(["adc_bits"], bits)


@torch.no_grad()
def test_each_design_gives_what_it_gives_alone(network: nn.Module, design_of: Designs, images: Tensor) -> None:
    design, both = design_of(sigma=0.2), images.repeat(2, 1, 1, 1)
    alone, recall = copy.deepcopy(network), Recall(network)
    computed: list[int] = []
    compute = AnalogLayer._compute

    def counted(self: AnalogLayer, x: Tensor) -> Tensor:
        computed.append(1)
        return compute(self, x)

    layers = len(design.periphery)
    order = [design, *(changed(design, layer) for layer in reversed(range(layers))), design]
    for one, fresh in zip(order, [layers, *range(1, layers + 1), 0], strict=True):
        rewind(alone)
        rewind(network)
        with at_precision(alone, one):
            expected = alone(both)
        computed.clear()
        with at_precision(network, one), patch.object(AnalogLayer, "_compute", counted):
            assert torch.equal(recall(both, "batch"), expected)
        assert len(computed) == fresh
        assert {layer.images_read for layer in analog_layers(network).values()} == {len(images)}


@torch.no_grad()
def test_memory_is_bounded(network: nn.Module, images: Tensor) -> None:
    both = images.repeat(2, 1, 1, 1)
    with recorded(analog_layers(network)) as outputs:
        network(both)
    size = sum(output.nbytes for output in outputs.values())
    recall = Recall(network, limit=int(1.5 * size))
    for batch in range(3):
        rewind(network)
        recall(both, batch)
    assert list(recall._passes) == [0]
    assert Recall(network, limit=size - 1)._bytes() == 0


@torch.no_grad()
def test_outputs_that_change_in_place_are_not_gone_on_from() -> None:
    layer = QuantLinear(4, 4)
    x = torch.rand(2, 4)
    with recorded({"a": layer}) as kept:
        nn.Sequential(layer, nn.ReLU())(x)
    assert list(kept) == ["a"]
    with recorded({"a": layer}) as lost:
        nn.Sequential(layer, nn.ReLU(inplace=True))(x)
    with recorded({"a": layer}) as twice:
        nn.Sequential(layer, layer)(x)
    assert lost == twice == {}
