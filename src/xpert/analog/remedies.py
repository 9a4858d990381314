"""What may help a network on a chip, by what was measured of its layers and effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from xpert.analog.ablation import Ablation
from xpert.analog.conversions import LayerConversions
from xpert.design import AnalogSettings, Design
from xpert.errors import ConfigError

_SATURATED = 0.01
"""Share of conversions beyond an ADC's range from which the range is too narrow. Calibration leaves `adc_tail` at each
end, 0.01 % by default."""

_USED = 0.5
"""Share of an ADC's levels below which its range is too wide, if its step is more than a level of conductance: half of
them are a bit that would cost nothing."""


class LayerDiagnosis(NamedTuple):
    """One layer on the chip."""

    layer: str
    rounding_db: float
    """Signal over the error of integer weights and inputs. [dB]"""
    own_db: float
    """Signal over the error of crossbars and ADCs, for the quantised network's inputs. [dB]"""
    accumulated_db: float
    """The same with what the layers before have done to the inputs. [dB]"""
    conversions: LayerConversions | None
    """None where nothing is converted."""
    alone: float
    """NI-accuracy with this layer on the chips, and all others in float."""


class Change(NamedTuple):
    """A design that may be better."""

    words: str
    because: str
    """What was measured that speaks for it."""
    design: Design
    setting: str | None = None
    """The change as `name=value`; None where it is of one layer."""


def weakest(layers: Sequence[LayerDiagnosis]) -> LayerDiagnosis:
    """The layer of the least signal to error, of rounding or of the chip."""
    return min(layers, key=lambda one: min(one.own_db, one.rounding_db))


def saturates(conversions: LayerConversions) -> bool:
    """Whether the ADCs' range is too narrow."""
    return conversions.below + conversions.above > _SATURATED


def too_wide(conversions: LayerConversions) -> bool:
    """Whether the ADCs' range is too wide: levels are idle while steps are coarse."""
    return conversions.step > 1 and conversions.used < _USED * conversions.levels


def changes(
    design: Design,
    layers: Sequence[LayerDiagnosis],
    effects: Sequence[Ablation],
    layer: str | None,
    *,
    has_norms: bool,
) -> list[Change]:
    """What may help, the likeliest first.

    Args:
        design: What is to be changed.
        layers: As measured.
        effects: As measured.
        layer: The first bad layer; None: the weakest takes its place.
        has_norms: Whether the network has batch norms.
    """
    worst = next((one for one in layers if one.layer == layer), None) or weakest(layers)
    found: dict[str, Change] = {}
    for make in (
        lambda: _of_ranges(design, layers),
        lambda: _of_precisions(design, worst),
        lambda: _of_effects(design, effects),
        lambda: _of_norms(design, layers) if has_norms else iter(()),
    ):
        for change in make():
            found.setdefault(change.words, change)
    return list(found.values())


def _of_ranges(design: Design, layers: Sequence[LayerDiagnosis]) -> Iterator[Change]:
    analog, default = design.chip.analog, AnalogSettings()
    converted = [(one.layer, one.conversions) for one in layers if one.conversions]
    narrow = [name for name, one in converted if saturates(one)]
    wide = [name for name, one in converted if too_wide(one)]
    because = f"too many column sums are beyond the ADCs' range in {', '.join(narrow)}"
    if not narrow:
        because = f"the ADCs' range is too wide in {', '.join(wide)}"
    if (narrow or wide) and analog.adc_range != "calibrated":
        yield from _of_chip(design, "ADC ranges from calibration", because, "analog.adc_range", "calibrated")
    if narrow and analog.adc_range == "calibrated" and analog.adc_tail > default.adc_tail:
        words = f"wider ADC ranges: adc_tail {default.adc_tail:g} in the place of {analog.adc_tail:g}"
        yield from _of_chip(design, words, because, "analog.adc_tail", default.adc_tail)


def _of_precisions(design: Design, layer: LayerDiagnosis) -> Iterator[Change]:
    """One more bit for a layer: first where its error is larger."""
    place = [one.name for one in design.network.layers].index(layer.layer)
    of_adc = ("adc_bits", "ADC", f"its signal to error is {layer.own_db:.1f} dB")
    of_inputs = ("input_bits", "inputs", f"its signal to rounding error is {layer.rounding_db:.1f} dB")
    for field, noun, because in (of_inputs, of_adc) if layer.rounding_db < layer.own_db else (of_adc, of_inputs):
        rows = [[getattr(one, field) + (index == place)] for index, one in enumerate(design.periphery)]
        try:
            changed = design.with_values([field], rows)
        except ConfigError:  # as many bits as there are already
            continue
        yield Change(f"{layer.layer}: {rows[place][0]}-bit {noun}, one bit more", because, changed)


def _of_effects(design: Design, effects: Sequence[Ablation]) -> Iterator[Change]:
    """Remedies of effects, those first that cost most alone."""
    for one in sorted(effects, key=lambda one: one.alone.mean):
        because = (
            f"{one.effect.replace('_', ' ')} alone leaves {one.alone.mean:.1%}, and without it the chips have "
            f"{one.without.mean:.1%}"
        )
        for words, path, value in _REMEDIES.get(one.effect, _none)(design):
            yield from _of_chip(design, words, because, path, value)


def _of_norms(design: Design, layers: Sequence[LayerDiagnosis]) -> Iterator[Change]:
    if not design.chip.analog.adaptive_batch_norm:
        least = min(one.accumulated_db for one in layers)
        because = f"errors add up to {least:.1f} dB of signal to error"
        words = "batch norms that every chip measures itself"
        yield from _of_chip(design, words, because, "analog.adaptive_batch_norm", True)


def _of_chip(design: Design, words: str, because: str, path: str, value: Any) -> Iterator[Change]:
    """A change of one field of the chip, where the chip's rules allow it."""
    *parts, name = path.split(".")
    owner: Any = design.chip
    for part in parts:
        owner = getattr(owner, part)
    try:
        changed = owner.replace(**{name: value})
        chip = design.chip.replace(**{parts[0]: changed}) if parts else changed
        made = design.replace(chip=chip, activity=None)
    except ConfigError:
        return
    yield Change(words, because, made, f"{name}={str(value).lower() if isinstance(value, bool) else value}")


Remedies = list[tuple[str, str, Any]]
"""Words, field of the chip and value."""


def _none(_: Design) -> Remedies:
    return []


def _cells(design: Design) -> Remedies:
    bits, found = design.chip.device.cell_bits, []
    if bits > 1:
        found.append((f"{bits - 1}-bit cells in the place of {bits}", "device.cell_bits", bits - 1))
    if design.chip.encoding == "offset":
        found.append(("weights as differences of two cells", "encoding", "differential"))
    return found


def _drift(design: Design) -> Remedies:
    return [] if design.chip.analog.gain_compensation else [("drift compensated", "analog.gain_compensation", True)]


def _wires(design: Design) -> Remedies:
    rows = design.chip.read_rows // 2
    return [(f"{rows} rows read at once, half as many", "rows_per_read", rows)] if rows else []


def _offsets(design: Design) -> Remedies:
    analog = design.chip.analog
    if not analog.adc_offset_compensation:
        return [("ADC offsets compensated", "analog.adc_offset_compensation", True)]
    return [("comparators of half the offset", "analog.adc_offset_sigma", analog.adc_offset_sigma / 2)]


def _noise(design: Design) -> Remedies:
    return [("ADCs of half the noise", "analog.adc_noise", design.chip.analog.adc_noise / 2)]


def _gain(design: Design) -> Remedies:
    return [("ADCs of half the gain error", "analog.adc_gain_sigma", design.chip.analog.adc_gain_sigma / 2)]


_REMEDIES: dict[str, Callable[[Design], Remedies]] = {
    "on_off_ratio": _cells,
    "programming": _cells,
    "stuck_cells": _cells,
    "drift": _drift,
    "read_noise": _cells,
    "ir_drop": _wires,
    "adc_offset": _offsets,
    "adc_gain": _gain,
    "adc_noise": _noise,
}
"""Effect -> what may help. Not listed: the ADC's own precision and range, which are changed where they are bad."""

__all__ = ["Change", "LayerDiagnosis", "changes", "saturates", "too_wide", "weakest"]
