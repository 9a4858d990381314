"""The way from a float network to its chips, step by step: where outputs must not change, and where accuracy goes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xpert.analog.convert import swap_in_analog_layers, to_analog
from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.analog.precision import at_precision
from xpert.analog.sampling import TestSet
from xpert.analog.unroll import unroll
from xpert.design import IDEAL, Design
from xpert.networks.images import Images
from xpert.networks.quantised import copied, quantised_layers, replace_module, unquantised

ROUNDING = 1e-4
"""Largest difference of outputs that is rounding of float32, relative to the largest output: sums of thousands of
products in another order, over tens of layers."""


class Step(NamedTuple):
    """A network on its way to crossbars."""

    name: str
    """`float`, `unrounded`, `traced`, `quantised` or `ideal`."""

    outputs: Tensor
    """Of all images [n, classes]."""

    accuracy: float
    """Share of the images that are right."""

    against: str | None
    """The step whose outputs these must be, if any."""

    difference: float
    """Largest difference from the outputs of the step before, or of that one; relative to the largest output."""

    allowed: float | None
    """Largest difference that is rounding; None where outputs may change."""

    @property
    def holds(self) -> bool:
        """Whether outputs are what they must be."""
        return self.allowed is None or self.difference <= self.allowed


def sanity_chain(
    model: nn.Module, design: Design, test: TestSet, *, original: nn.Module | None = None, batch_size: int = 64
) -> list[Step]:
    """The steps from the float network to ideal crossbars.

    1. `float`: the network as it was given.
    2. `unrounded`: its layers as XPert's, which do not round.
    3. `traced`: the same as the design describes it, every layer a product of unrolled inputs and a matrix, in float64.
    4. `quantised`: with integer weights and inputs at the design's precisions. This one may differ.
    5. `ideal`: on crossbars that do nothing wrong, whose sums are exact: as `quantised`.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        test: Images.
        original: The network before its layers became XPert's; `float` is `unrounded` where there was none.
        batch_size: Images at a time.

    Raises:
        ConfigError: If model and design do not match.
    """
    steps: list[Step] = []

    def step(name: str, network: nn.Module, against: str | None, context: AbstractContextManager[None]) -> None:
        with context:
            outputs = outputs_of(network, test.images, batch_size)
        other = steps[-1].outputs if steps else outputs
        if against is not None:
            other = next(one.outputs for one in steps if one.name == against)
        scale = float(other.abs().max()) or 1.0
        difference = float((outputs - other).abs().max()) / scale
        right = share_right(outputs, test.labels)
        steps.append(Step(name, outputs, right, against, difference, None if against is None else ROUNDING))

    if original is not None:
        step("float", copied(original).eval(), None, nullcontext())
        step("unrounded", model, "float", unquantised(model))
    else:
        step("float", model, None, unquantised(model))
    step("traced", _as_described(model, design), "float", nullcontext())
    step("quantised", model, None, at_precision(model, design))
    ideal = to_analog(model, design, generator=None, settings=IDEAL, calibration=test.calibration)
    step("ideal", ideal, "quantised", nullcontext())
    return steps


@torch.no_grad()
def outputs_of(model: nn.Module, images: Images, batch_size: int) -> Tensor:
    """A network's outputs, [images, classes]."""
    was_training = model.training
    model.eval()
    try:
        return torch.cat([model(batch) for batch in images.split(batch_size)])
    finally:
        model.train(was_training)


def share_right(outputs: Tensor, labels: Tensor) -> float:
    """The share of images whose class has the largest output."""
    return float((outputs.argmax(dim=1) == labels.to(outputs.device)).float().mean())


def _as_described(model: nn.Module, design: Design) -> nn.Module:
    """The network with layers that multiply unrolled float inputs and weights, as their mapping to crossbars says."""
    model = swap_in_analog_layers(model, design, None)
    for name, layer in analog_layers(model).items():
        model = replace_module(model, name, _Unrolled(layer))
    for layer in quantised_layers(model).values():
        layer.quantised = False  # of those that stay off the crossbars
    return model.eval()


class _Unrolled(nn.Module):
    """A layer on crossbars as the product of vectors and a matrix, without rounding."""

    def __init__(self, layer: AnalogLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: Tensor) -> Tensor:
        layer, geometry = self.layer, self.layer.geometry
        maps = layer.as_maps(input.double())
        height, width = geometry.positions(*maps.shape[2:])
        vectors = unroll(geometry.windows(maps, 0.0))  # [groups, images * positions, rows]
        sums = torch.bmm(vectors, geometry.weight_matrix(layer.layer.weight.double()))
        # [groups, images * positions, outputs] -> [images, groups * outputs, height, width]
        output = sums.unflatten(1, (len(maps), -1)).permute(1, 0, 3, 2).flatten(1, 2).unflatten(2, (height, width))
        if layer.layer.bias is not None:
            output = output + layer.layer.bias.double().repeat_interleave(geometry.places).reshape(-1, 1, 1)
        return layer.like_output(output, input)


__all__ = ["ROUNDING", "Step", "outputs_of", "sanity_chain", "share_right"]
