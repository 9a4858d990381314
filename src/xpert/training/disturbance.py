"""What disturbs a training for the analogue disturbance, besides integer weights and inputs.

The figures come from the simulation (`xpert.analog`), which measures them; this module only applies them. In the order
of cost: noise on weights, a few per cent of the time; noise on outputs, about 60 % more; the simulation itself in every
forward pass (a model from `to_analog`, with `before_step` to program a new chip), about five times as long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xpert.errors import ConfigError
from xpert.networks.quantised import quantised_layers, set_weight_noise


@dataclass(frozen=True, eq=False)
class Disturbance:
    """Disturbances of a training. All are drawn anew in every step."""

    weight_deviation: Tensor | Mapping[str, Tensor] | None = None
    """Standard deviation of every integer weight over chips, [2**weight_bits], as `weight_deviation` measures it,
    for all layers or by their names; needed where `weight_noise` is `device`. [integer weight]"""

    output_noise: Mapping[str, float] = field(default_factory=dict)
    """Noise-to-signal power of layers' outputs, by name, as `layer_errors` measures it: what conversions add."""

    before_step: Callable[[torch.Generator], object] | None = None
    """Called before every step with the source of its noise."""


@contextlib.contextmanager
def training_noise(
    model: nn.Module, disturbance: Disturbance, weight_noise: float | str, generator: torch.Generator
) -> Iterator[Callable[[], None]]:
    """Within this context a model in training mode computes with the hardware's noise.

    Args:
        model: Changed in place, and back at the end.
        disturbance: What disturbs it.
        weight_noise: As in `TrainingSettings`.
        generator: Source of all noise, on the model's device.

    Yields:
        What to call before every step.

    Raises:
        ConfigError: If a layer is unknown, or `device` noise lacks its table.

    Source: Joshi et al., Nature Communications 11, 2473 (2020), for weights; Rekhi et al., DAC 2019 (arXiv
        1903.11544), for conversions as additive noise on a layer's output.
    """
    if weight_noise == "device" and disturbance.weight_deviation is None:
        raise ConfigError("weight_noise: 'device' needs the deviation of the device's weights")
    noise = disturbance.weight_deviation if weight_noise == "device" else weight_noise
    layers = quantised_layers(model)
    for name in disturbance.output_noise:
        if name not in layers:
            raise ConfigError(f"output_noise: the network has no layer {name!r}")

    def disturb(ratio: float) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def disturbed(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not layer.training:
                return output
            # Signal is the variance about each channel's mean, which is what batch norm passes on.
            axes = [axis for axis in range(output.dim()) if axis != 1]
            spread = output.detach().var(dim=axes, correction=0).mean().mul(ratio).sqrt()
            added = torch.randn(output.shape, generator=generator, device=output.device, dtype=output.dtype)
            return output + added.mul_(spread)

        return disturbed

    def before_step() -> None:
        if disturbance.before_step:
            disturbance.before_step(generator)

    handles = [
        layers[name].register_forward_hook(disturb(ratio))
        for name, ratio in disturbance.output_noise.items()
        if ratio > 0
    ]
    set_weight_noise(model, noise or None if isinstance(noise, float | int) else noise, generator)  # pyright: ignore[reportArgumentType]
    try:
        yield before_step
    finally:
        set_weight_noise(model, None)
        for handle in handles:
            handle.remove()


__all__ = ["Disturbance", "training_noise"]
