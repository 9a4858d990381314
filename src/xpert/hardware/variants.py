"""Variants: the model as others would have it, under each of which any design can be evaluated again.

ADCs decide most of a design, and they are what the model knows least: the survey of published converters is up to ten
times dearer, and a macro's own are cheaper. A variant changes a chip (and, for the reference mode, the switches), so
that `evaluate`, `evaluate_batch`, `cost_tables` and searches take it as they take any chip::

    variant = variant_named("adc-energy*5")
    evaluate_batch(variant.apply(chip), workload, periphery, variant.switches)

docs/hardware-model.md argues for the size of the factors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xpert.design import Adc, Chip, Design, load_part, shown
from xpert.errors import ConfigError
from xpert.hardware.evaluate import Evaluation, evaluate
from xpert.hardware.switches import PHYSICAL, REFERENCE, Switches

FACTOR = 5.0
"""How far ADC energy and area may be off, in either direction. Source: assumed, between what is known: the
best published SAR ADCs take 1.4 to 8 times the energy and area of the derived one, the flash ADCs of a published macro
(C3SRAM) less than two fifths of the derived area. What stand-alone converters take is `survey-adcs`."""

NOMINAL = "nominal"
"""Name of the model as it is."""

MEASURED = "measured-activity"
"""Name of the variant that is in the design: the activity of its trained network, where it was measured."""


@dataclass(frozen=True)
class Variant:
    """One way in which the model could be wrong."""

    name: str
    """What tables call it."""

    text: str
    """What is different, in a sentence."""

    change: Callable[[Chip], Chip] = lambda chip: chip
    """The chip that stands for it."""

    switches: Switches = PHYSICAL
    """Where to follow physics and where the reference simulator."""

    remark: Callable[[Design], str | None] = lambda design: None
    """What of a design is beyond the variant's data, in words; None for nothing."""

    @property
    def tabulates(self) -> bool:
        """Whether `cost_tables` work under it; they need costs that layers do not inherit from one another."""
        return self.switches.fresh_tree_leakage

    def apply(self, chip: Chip) -> Chip:
        """The chip under this variant.

        Raises:
            ConfigError: If the variant has no figures for this chip.
        """
        try:
            return self.change(chip)
        except ConfigError as error:
            raise ConfigError(f"variant {self.name}: {error}") from None

    def apply_to(self, design: Design) -> Design:
        """The design on the chip of this variant, with the activity that the chip assumes.

        Raises:
            ConfigError: If the variant has no figures for this chip or for the ADC precision of a layer.
        """
        changes = {} if self.name == MEASURED or design.activity is None else {"activity": None}
        try:
            return design.replace(chip=self.change(design.chip), **changes)
        except ConfigError as error:
            raise ConfigError(f"variant {self.name}: {error}") from None

    def evaluate(self, design: Design) -> Evaluation:
        """What a design costs under this variant.

        Raises:
            ConfigError: As of `apply_to`.
        """
        return evaluate(self.apply_to(design), self.switches)


def _scaled(field: str, factor: float, chip: Chip) -> Chip:
    converters = chip.converters
    return chip.replace(converters=converters.replace(**{field: getattr(converters, field) * factor}))


def _with_survey(envelope: str, chip: Chip) -> Chip:
    """SAR and flash ADCs at the survey's figures. Below its precisions they cost as much as its least precise one."""
    others = [adc for adc in chip.adcs if adc.replaces not in _SURVEYED]
    return chip.replace(adcs=(*others, *(_survey_part(kind, envelope, chip) for kind in _SURVEYED)))


_SURVEYED = ("sar", "flash")
"""Kinds of which the survey has converters."""


def _survey_part(kind: str, envelope: str, chip: Chip) -> Adc:
    part = load_part(Adc, f"murmann-{kind}-{envelope}")
    node_nm, (least, most) = chip.technology.feature_nm, part.bits
    tables = {
        field: {bits: values[max(bits, least)] for bits in range(1, most + 1)}
        for field, values in part.figures(node_nm).items()
    }
    return part.replace(name=f"survey-{kind}", replaces=kind, bits=(1, most), **tables)


def _below_survey(envelope: str, design: Design) -> str | None:
    """Which layers convert with fewer bits than the survey's converters have."""
    parts = []
    for kind in _SURVEYED:
        least = load_part(Adc, f"murmann-{kind}-{envelope}").bits[0]
        count = sum(entry.adc_type == kind and entry.adc_bits < least for entry in design.periphery)
        if count:
            parts.append(f"{count} {kind} layers below {least} bits at the figures of {least}")
    return "; ".join(parts) or None


def _all() -> tuple[Variant, ...]:
    factors = [
        Variant(
            f"adc-{what}{sign}{FACTOR:g}",
            f"{what} of all ADCs {words} {FACTOR:g}",
            partial(_scaled, f"{what}_factor", factor),
        )
        for what in ("energy", "area")
        for sign, words, factor in (("/", "over", 1 / FACTOR), ("*", "times", FACTOR))
    ]
    surveys = [
        Variant(
            name,
            f"SAR and flash ADCs as published, {words} of Murmann's survey",
            partial(_with_survey, envelope),
            remark=partial(_below_survey, envelope),
        )
        for name, words, envelope in (
            ("survey-adcs", "the median", "median"),
            ("survey-adcs-best", "the best", "best"),
        )
    ]
    return (
        Variant(NOMINAL, "the model as it is, with the activity that searches assume"),
        *factors,
        *surveys,
        Variant(
            "sample-and-hold",
            "columns draw current only while a SAR ADC samples them",
            lambda chip: chip.replace(converters=chip.converters.replace(sample_and_hold=True)),
        ),
        Variant("clock-chip", "one clock for the whole chip", lambda chip: chip.replace(clock="chip")),
        Variant("reference", "as DNN+NeuroSim V1.3 does, faults included", switches=REFERENCE),
        Variant(MEASURED, "with the activity of the trained network"),
    )


VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _all()}
"""The variants by name; `nominal` first."""


TABULATED = tuple(name for name, variant in VARIANTS.items() if variant.tabulates and name != MEASURED)
"""Names of the variants that a search can take into account: they have cost tables, and need no trained network."""


def variant_named(name: str) -> Variant:
    """The variant of a name.

    Raises:
        ConfigError: If there is none.
    """
    if name not in VARIANTS:
        raise ConfigError(f"variant: must be one of {', '.join(VARIANTS)}, got {shown(name)}")
    return VARIANTS[name]


def variants_of(designs: Sequence[Design]) -> tuple[Variant, ...]:
    """The variants that say something of these designs: that of measured activity where all have it."""
    measured = all(design.activity is not None for design in designs)
    return tuple(variant for variant in VARIANTS.values() if variant.name != MEASURED or measured)


__all__ = ["FACTOR", "MEASURED", "NOMINAL", "TABULATED", "VARIANTS", "Variant", "variant_named", "variants_of"]
