"""Why a network's accuracy on a chip is what it is, as `xpert diagnose --json` prints it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xpert.results.accuracy import Effect, Measured
from xpert.results.record import Number, Record, Share


class ChainStep(Record):
    """A step from float to ideal crossbars."""

    name: str
    accuracy: Share
    against: str | None = None
    """The step whose outputs these must be; None where outputs may change."""

    difference: Number = None
    """Largest difference of an output from that step's, or the one before; relative to the largest output."""

    allowed: Number = None
    """What of it is rounding."""

    holds: bool = True


class LayerDiagnosis(Record):
    """One layer on the chip; ratios are None where nothing differs."""

    layer: str
    rounding_db: Number = None
    """Signal over the error of integer weights and inputs. [dB]"""

    snr_db: Number = None
    """Signal over the error of crossbars and ADCs, of the layer alone. [dB]"""

    accumulated_snr_db: Number = None
    """In the network, with the errors of the layers before it. [dB]"""

    below: Share | None = None
    """Share of the conversions below the ADCs' range; None where nothing is converted, like the next ones."""

    above: Share | None = None
    """Share above it."""

    levels_used: int | None = None
    levels: int | None = None
    step: Number = None
    """Distance of levels. [level of conductance]"""

    alone: Share
    """NI-accuracy with this layer on the chips, and all others in float."""


class Suggestion(Record):
    """A change that was tried."""

    change: str
    because: str
    setting: str | None = None
    """As `--set` takes it; None where one layer is changed."""

    ni_mean: Share
    gain: Measured
    """Of NI-accuracy, on the same images and chips."""


class DiagnosisFile(Record):
    """What `xpert diagnose` found."""

    cause: str
    """`weights`, `classes`, `batch_norm`, `chain`, `rounding`, `range`, `saturation`, `conversion`, `cells`, `none`."""

    layer: str | None = None
    """The first bad layer, if it is one layer's."""

    text: str
    images: Annotated[int, Field(ge=1)]
    chips: Annotated[int, Field(ge=1)]
    ideal: Share
    quantised: Share
    ni_mean: Share | None = None
    """None where the network is wrong before any hardware."""

    chain: tuple[ChainStep, ...]
    layers: tuple[LayerDiagnosis, ...] = ()
    ablation: tuple[Effect, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()


__all__ = ["ChainStep", "DiagnosisFile", "LayerDiagnosis", "Suggestion"]
