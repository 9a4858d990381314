"""Which effect costs how much accuracy: each alone, and all but one."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from xpert.analog.accuracy import NiAccuracy, ni_accuracy
from xpert.design import OFF, AnalogSettings, Design, Device
from xpert.networks.images import Images
from xpert.progress import Progress, Report

_NEEDS_ADC = ("adc_offset", "adc_gain", "adc_noise")
"""Errors of an ADC, which are nothing without its levels."""


class Ablation(NamedTuple):
    """What one effect does to the accuracy."""

    effect: str
    """A key of `OFF`."""

    alone: NiAccuracy
    """With this effect and no other; an ADC's errors with its precision and range."""

    without: NiAccuracy
    """With every effect but this one; without the ADC's precision and range, also without its errors."""


def active_effects(settings: AnalogSettings, device: Device) -> tuple[str, ...]:
    """The effects that are on and not nothing for this device, in the order of `OFF`."""
    spread = (device.programming_sigma, device.programming_sigma_absolute, device.programming_polynomial)
    moves = (
        device.drift_nu,
        device.drift_nu_sigma,
        device.relaxation_per_decade,
        device.relaxation_sigma_per_decade,
    )
    converts = settings.adc_range != "unbounded"
    on = {
        "on_off_ratio": settings.finite_on_off,
        "programming": settings.programming_variation and (any(spread) or device.programming_states is not None),
        "stuck_cells": settings.stuck_cells and device.stuck_on_rate + device.stuck_off_rate > 0,
        "drift": settings.seconds_since_programming > device.drift_t0_s and any(moves),
        "read_noise": settings.read_noise and bool(device.read_noise_sigma or device.read_noise_1f),
        "ir_drop": settings.ir_drop,
        "adc": converts,
        "adc_offset": converts and settings.adc_offset_sigma > 0,
        "adc_gain": converts and settings.adc_gain_sigma > 0,
        "adc_noise": converts and settings.adc_noise > 0,
    }
    return tuple(effect for effect in OFF if on[effect])


def only(settings: AnalogSettings, effect: str) -> AnalogSettings:
    """The settings with one effect and no other."""
    kept = {effect, "adc"} if effect in _NEEDS_ADC else {effect}
    return settings.replace(
        **({key: value for name, off in OFF.items() if name not in kept for key, value in off.items()})
    )


def without(settings: AnalogSettings, effect: str) -> AnalogSettings:
    """The settings with all effects but one."""
    return settings.replace(**OFF[effect])


def ablation(
    model: nn.Module,
    design: Design,
    images: Images,
    labels: Tensor,
    calibration_images: Tensor | None,
    *,
    seed: int,
    chips: int = 1,
    batch_size: int = 64,
    settings: AnalogSettings | None = None,
    progress: Report | None = None,
) -> list[Ablation]:
    """Accuracy with each effect alone and with all but that one, on the same chips.

    Every effect draws from a stream of its own, so that what differs between two rows is the effect and not the draw.

    Args:
        model: As for `ni_accuracy`, like the rest.
        design: Chip, layers and periphery.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        calibration_images: Normalised images on which ADC ranges are calibrated.
        seed: Of the chips.
        chips: How many chips to sample.
        batch_size: Images at a time.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        progress: Called before each measurement with those done, and with what it is `of`.

    Returns:
        One entry per effect that is on, in the order of `OFF`.
    """
    chosen = settings or design.chip.analog
    effects = active_effects(chosen, design.chip.device)
    done = 0

    def measured(changed: AnalogSettings, what: str) -> NiAccuracy:
        nonlocal done
        if progress is not None:
            progress(Progress(unit="measurement", done=done, total=2 * len(effects), figures={"of": what}))
        done += 1
        return ni_accuracy(
            model,
            design,
            images,
            labels,
            calibration_images,
            seed=seed,
            chips=chips,
            batch_size=batch_size,
            settings=changed,
        )

    return [
        Ablation(
            effect,
            measured(only(chosen, effect), f"{effect} alone"),
            measured(without(chosen, effect), f"all but {effect}"),
        )
        for effect in effects
    ]


__all__ = ["Ablation", "ablation", "active_effects", "only", "without"]
