"""From a quantised model and a design to the same model on crossbars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.analog.precision import as_quantised
from xpert.design import AnalogSettings, Design
from xpert.errors import ConfigError
from xpert.networks.quantised import (
    QuantLayer,
    check_weights,
    copied,
    has_plain_layers,
    quantise,
    quantised_layers,
    replace_module,
)
from xpert.progress import Progress, Report
from xpert.workload.trace import trace

REFERENCE_INPUT_BITS = 8
"""Input precision of the quantised network against which layers are calibrated and judged. [bit]"""

DIGITAL_BITS = 8
"""Precision of weights and inputs of layers that stay off the crossbars. [bit]"""

_SAMPLED_BATCH = 32


def to_analog(
    model: nn.Module,
    design: Design,
    *,
    generator: torch.Generator | None,
    settings: AnalogSettings | None = None,
    calibration: Tensor | None = None,
) -> nn.Module:
    """Put every layer of a design onto crossbars.

    ADC ranges are calibrated on nominal conductances and the inputs that the quantised network sees, so they depend on
    neither the sampled chip nor the images that are evaluated later.

    Layers that the design calls `digital` compute as quantised layers with 8-bit weights and inputs. What does not run,
    such as a head for training, stays as it is.

    Args:
        model: Holds a convolution or linear layer under each name in `design.network.layers`; left as it is. Layers
            that are not quantised yet become so, with input ranges set on the calibration images.
        design: Chip, layers and the periphery of each.
        generator: Samples the chip, layer by layer in the design's order; None: nothing is random.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        calibration: Normalised images [n, channels, height, width]; required for calibrated ADC ranges. What offsets
            of ADCs do to outputs is measured on them too; without any, on an input of zeros.

    Returns:
        A copy of the model, in evaluation mode, with an `AnalogLayer` in place of each of those layers.

    Raises:
        ConfigError: If model and design do not match in anything that costs, the model runs layers that crossbars
            cannot hold, a weight is not finite, or calibration images are missing.
    """
    if calibration is not None and len(calibration) == 0:
        calibration = None
    if has_plain_layers(model):
        if calibration is not None:
            bits = design.chip.weight_bits
            model = quantise(model, calibration, weight_bits=bits, input_bits=REFERENCE_INPUT_BITS)
        elif not {layer.name for layer in design.network.layers} <= quantised_layers(model).keys():
            raise ConfigError("a model that is not quantised yet needs at least one calibration image")
    quantised, model = model, swap_in_analog_layers(model, design, settings)
    if calibration is None:
        check_shapes(quantised, design, design.network.input_shape)
    else:
        check_shapes(quantised, design, calibration.shape[1:], calibration.dtype)
    analog = settings or design.chip.analog
    needed = analog.adc_range in ("calibrated", "learned")
    if calibration is None:
        if needed:
            raise ConfigError("calibrated ADC ranges need at least one calibration image")
    elif needed or analog.compensates_offsets:
        calibrate_adcs(model, calibration)
    if generator is not None:
        reprogram(model, generator, [layer.name for layer in design.network.on_crossbars])
    return model


def swap_in_analog_layers(model: nn.Module, design: Design, settings: AnalogSettings | None) -> nn.Module:
    """A copy of a quantised model with its layers on crossbars, neither calibrated nor with anything random.

    Raises:
        ConfigError: If model and design do not match.
    """
    model = copied(model).eval()
    chip = design.chip if settings is None else design.chip.replace(analog=settings)
    layers = _matched(model, design)
    check_weights(layers)
    for described, periphery in zip(design.network.layers, design.periphery, strict=True):
        layer = layers[described.name]
        if described.digital:
            layer.set_precision(DIGITAL_BITS, DIGITAL_BITS)
        else:
            try:
                made = AnalogLayer(layer, chip, periphery).eval()
            except ConfigError as error:
                raise ConfigError(f"layer {described.name!r}: {error}") from None
            model = replace_module(model, described.name, made)
    return model


def check_shapes(
    model: nn.Module, design: Design, input_shape: Sequence[int], dtype: torch.dtype | None = None
) -> None:
    """Refuse a design that is not a model's in something that costs: sizes, strides, groups, maps, uses.

    Args:
        model: Quantised network; runs once.
        design: Its design.
        input_shape: Of one input of the model.
        dtype: Of its input; by default that of its weights.

    Raises:
        ConfigError: If a layer is missing on either side, or differs.
    """
    expected = {layer.name: layer for layer in design.network.layers}
    found = {layer.name: layer for layer in trace(model, tuple(input_shape), dtype=dtype)}
    for name in found:
        if name not in expected:
            raise ConfigError(
                f"layer {name!r} of the model is not in the design (one that stays off the crossbars is there with "
                "`digital: true`)"
            )
    for name in expected:
        if name not in found:
            raise ConfigError(f"layer {name!r} of the design does not run in the model")
    for name, wanted in expected.items():
        for field in _SHAPE:
            said, seen = getattr(wanted, field), getattr(found[name], field)
            if said != seen:
                raise ConfigError(f"layer {name!r}: the design says {field} {said}, the model has {seen}")


_SHAPE = (
    "kind", "in_channels", "out_channels", "kernel_height", "kernel_width", "stride", "padding", "dilation",
    "output_padding", "groups", "uses", "in_height", "in_width",
)  # fmt: skip
"""Fields of a layer on which the vectors that it meets depend, and the matrix that they meet."""


def calibrate_adcs(model: nn.Module, images: Tensor) -> None:
    """Set the ADC ranges of a model's analog layers from the inputs that they see while they compute ideally.

    Chips find out on the same inputs what the offsets of their ADCs do.

    Args:
        model: From `to_analog`; changed in place.
        images: Normalised images [n, channels, height, width].
    """
    layers = analog_layers(model)
    samples = sample_inputs(model, images, max(layer.chip.analog.calibration_positions for layer in layers.values()))
    for name, layer in layers.items():
        layer.calibrate_adcs(samples[name])


def sample_inputs(model: nn.Module, images: Tensor, positions: int) -> dict[str, Tensor]:
    """Input vectors of every analog layer while all layers compute as quantised layers with 8-bit inputs.

    Args:
        model: From `to_analog`.
        images: Normalised images [n, channels, height, width].
        positions: Vectors per layer, about; spread evenly over images and positions.

    Returns:
        [groups, positions, rows] of each layer, float.
    """
    layers = analog_layers(model)
    batches = images.split(_SAMPLED_BATCH)
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    share = -(-positions // len(batches))

    def observer(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: found[name].append(layers[name].sample_inputs(inputs[0], share))

    handles = [layer.register_forward_pre_hook(observer(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad(), as_quantised(model, REFERENCE_INPUT_BITS):
            for batch in batches:
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    if lost := [name for name, parts in found.items() if not parts]:
        raise ConfigError(f"layer {lost[0]!r} is called by another way than as a module of the network")
    return {name: torch.cat(parts, dim=1) for name, parts in found.items()}


def reprogram(
    model: nn.Module,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    order: Sequence[str] | None = None,
    progress: Report | None = None,
) -> None:
    """Write the model's present weights to another chip, or to several; precisions and ADC ranges stay.

    On several chips the model takes the images of all of them, the first chip's first, and answers in that order.

    Args:
        model: From `to_analog`; changed in place.
        generator: Samples the chip, or each of the chips; None writes one perfectly, and then nothing is random.
        order: Names of the layers in the order in which they draw; the model's by default.
        progress: Called after each layer with the layers done, and with its name, `layer`.
    """
    layers = analog_layers(model)
    names = list(order or layers)
    generators = [generator] if isinstance(generator, torch.Generator) else generator or ()
    for done, name in enumerate(names, start=1):
        layers[name].program(*generators)
        if progress is not None:
            progress(Progress(unit="layer", done=done, total=len(names), figures={"layer": name}))


def rewind(model: nn.Module, images: int = 0) -> None:
    """Count images from zero again, so that the next ones see the noise of reads that the first ones saw.

    Args:
        model: From `to_analog`; changed in place.
        images: Count from here: these were read before, and are not read again.
    """
    for layer in analog_layers(model).values():
        layer.images_read = images


def _matched(model: nn.Module, design: Design) -> dict[str, QuantLayer]:
    """The model's quantised layers in the design's order."""
    found, names = quantised_layers(model), [layer.name for layer in design.network.layers]
    if missing := [name for name in names if name not in found]:
        for name in found:
            if name not in names:
                raise ConfigError(f"layer {name!r} of the model is not in the design, which has {missing[0]!r}")
        raise ConfigError(f"layer {missing[0]!r} of the design is not a convolution or linear layer of the model")
    return {name: found[name] for name in names}


__all__ = [
    "calibrate_adcs",
    "check_shapes",
    "reprogram",
    "rewind",
    "sample_inputs",
    "swap_in_analog_layers",
    "to_analog",
]
