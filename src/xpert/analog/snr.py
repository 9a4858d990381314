"""How far each layer's output on a chip is from the quantised network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from xpert.analog.convert import to_analog
from xpert.analog.draws import chip_generator
from xpert.analog.layer import analog_layers
from xpert.analog.precision import as_quantised, at_precision
from xpert.design import AnalogSettings, Design
from xpert.networks.images import Images
from xpert.networks.quantised import quantised_layers, unquantised
from xpert.progress import Progress, Report


class LayerSnr(NamedTuple):
    """Ratio of signal to error of a layer's output. [dB]

    Signal is the variance of the quantised network's output about each channel's mean; infinite where nothing differs.
    """

    layer: str
    """Name in the design."""

    own: float
    """Of the layer alone: its input is the quantised network's."""

    accumulated: float
    """In the analog network, with what the layers before it have done to its input."""


def layer_snr(
    model: nn.Module,
    design: Design,
    images: Images,
    calibration_images: Tensor | None,
    *,
    seed: int,
    chip: int = 0,
    batch_size: int = 32,
    settings: AnalogSettings | None = None,
    progress: Report | None = None,
) -> list[LayerSnr]:
    """Ratio of signal to error of every layer on one sampled chip.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        images: Normalised images [n, channels, height, width].
        calibration_images: Normalised images on which ADC ranges are calibrated.
        seed: Of the chips.
        chip: Which of them.
        batch_size: Images at a time; results do not depend on it.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        progress: Called after each batch with the images done.

    Returns:
        Of the layers on crossbars, in the design's order.
    """
    order = [layer.name for layer in design.network.on_crossbars]
    drawn = chip_generator(seed, chip)
    analog = to_analog(model, design, generator=drawn, settings=settings, calibration=calibration_images)
    layers = analog_layers(analog)
    powers = {name: _Powers() for name in order}
    done = 0
    for batch in images.split(batch_size):
        with torch.no_grad():
            with as_quantised(analog):
                exact = _outputs(analog, layers, batch)
            for name, (x, reference) in exact.items():
                powers[name].own += _squares(layers[name](x) - reference)
                layers[name].images_read = done
                powers[name].signal(reference)
            for name, (_, output) in _outputs(analog, layers, batch).items():
                powers[name].accumulated += _squares(output - exact[name][1])
        done += len(batch)
        if progress is not None:
            progress(Progress(unit="image", done=done, total=len(images)))
    return [
        LayerSnr(name, powers[name].ratio(powers[name].own), powers[name].ratio(powers[name].accumulated))
        for name in order
    ]


def rounding_snr(model: nn.Module, design: Design, images: Images, *, batch_size: int = 32) -> dict[str, float]:
    """Signal over the error of integer weights and inputs alone, at a design's precisions. [dB]

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Its layers and their precisions.
        images: Normalised images [n, channels, height, width].
        batch_size: Images at a time; results do not depend on it.

    Returns:
        Of each layer on crossbars, by name in the design's order; its input is the float network's, as is the signal.
    """
    found, order = quantised_layers(model), [layer.name for layer in design.network.on_crossbars]
    layers = {name: found[name] for name in order}
    powers = {name: _Powers() for name in order}
    was_training = model.training
    model.eval()
    try:
        for batch in images.split(batch_size):
            with torch.no_grad():
                with unquantised(model):
                    exact = _outputs(model, layers, batch)
                with at_precision(model, design):
                    for name, (x, reference) in exact.items():
                        powers[name].own += _squares(layers[name](x) - reference)
                        powers[name].signal(reference)
    finally:
        model.train(was_training)
    return {name: powers[name].ratio(powers[name].own) for name in order}


class _Powers:
    """Sums over images, from which ratios follow."""

    def __init__(self) -> None:
        self.own = self.accumulated = 0.0
        self._sums: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0
        self._count = 0

    def signal(self, reference: Tensor) -> None:
        """Add outputs of the quantised network [n, channels, ...]."""
        channels = reference.double().transpose(0, 1).flatten(1)
        self._sums = self._sums + channels.sum(dim=1)
        self._squares = self._squares + channels.square().sum(dim=1)
        self._count += channels.shape[1]

    def ratio(self, error: float) -> float:
        """Signal over error. [dB]"""
        signal = float(torch.as_tensor(self._squares - torch.as_tensor(self._sums).square() / self._count).sum())
        with np.errstate(divide="ignore"):
            return float(10 * np.log10(np.float64(signal) / error)) if error else float("inf")


def _squares(error: Tensor) -> float:
    return float(error.double().square().sum())


def _outputs(model: nn.Module, layers: Mapping[str, nn.Module], batch: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of every layer while the network runs."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def observer(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def observe(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = inputs[0].clone(), output.clone()  # modules that work in place would change them

        return observe

    handles = [layer.register_forward_hook(observer(name)) for name, layer in layers.items()]
    try:
        model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


__all__ = ["LayerSnr", "layer_snr", "rounding_snr"]
