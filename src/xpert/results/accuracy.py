"""Accuracies of a network on a chip, as `xpert accuracy --json` prints them and results.json holds them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xpert.results.record import Number, Record, Share


class Measured(Record):
    """A mean and its 95 % confidence interval, see `xpert.statistics`."""

    mean: float
    low: float
    high: float


class NiRecord(Record):
    """NI-accuracy over sampled chips."""

    ni_mean: Share
    ni_std: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation over chips."""

    ni_low: Share | None = None
    """Lower end of the 95 % interval of the mean; None where one chip gave none."""

    ni_high: Share | None = None


class Accuracy(Record):
    """Accuracies of one network, as fractions; those that were not measured are None."""

    ideal: Share | None = None
    """With float weights and inputs."""

    quantised: Share | None = None
    """With integer weights and inputs, and exact sums."""

    ni_mean: Share | None = None
    """On the sampled chips, like what follows."""

    ni_std: Annotated[float, Field(ge=0)] | None = None
    ni_low: Share | None = None
    ni_high: Share | None = None
    chips: int | tuple[Share, ...] | None = None
    """How many sampled chips the mean is over, or the accuracy of each."""

    @property
    def n_chips(self) -> int | None:
        """How many sampled chips the mean is over."""
        return len(self.chips) if isinstance(self.chips, tuple) else self.chips


class Effect(Record):
    """NI-accuracy with one effect alone, and with all but that one."""

    effect: str
    alone: NiRecord
    without: NiRecord


class LayerError(Record):
    """Signal over error of one layer's output, on the first chip; None where nothing differs. [dB]"""

    layer: str
    snr_db: Number = None
    """Of the layer alone."""

    accumulated_snr_db: Number = None
    """In the network, with the errors of the layers before it."""


class Percentile(Record):
    """The NI-accuracy that a share of the sampled chips is not above."""

    percent: float
    ni: Share


class Yield(Record):
    """Share of the chips that are accurate enough, on the images measured; its 95 % interval is exact."""

    accuracy: Share
    share: Share
    low: Share
    high: Share


class AtTime(NiRecord):
    """NI-accuracy some time after programming, on the same chips."""

    seconds: Annotated[float, Field(ge=0)]
    chip_yield: Yield | None = None


class Programming(Record):
    """What it takes to write the weights into a chip once; see `xpert.hardware.programming`."""

    cells: int
    pulses: float
    serial_s: float
    """One cell after the other. [s]"""

    parallel_s: float
    """All crossbars at once, one cell after the other in each. [s]"""

    energy_uj: Number = None


class AccuracyFile(NiRecord):
    """accuracy.json: what `xpert accuracy --write` wrote."""

    ideal: Share | None = None
    quantised: Share
    chips: tuple[Share, ...]
    """NI-accuracy of each sampled chip."""

    images: Annotated[int, Field(ge=1)]
    """How many test images."""

    implementation: str | None = None
    """What computed the column sums on a CPU, see `xpert.analog.native`."""

    layers: tuple[LayerError, ...] = ()
    ablation: tuple[Effect, ...] = ()
    percentiles: tuple[Percentile, ...] = ()
    """Over the sampled chips, where there are 20 and more."""

    chip_yield: Yield | None = None
    over_time: tuple[AtTime, ...] = ()
    programming: Programming | None = None
    """None where the device file has no write figures."""

    changes: tuple[str, ...] = ()
    """What was set otherwise than in the design."""


__all__ = [
    "Accuracy",
    "AccuracyFile",
    "AtTime",
    "Effect",
    "LayerError",
    "Measured",
    "NiRecord",
    "Percentile",
    "Programming",
    "Yield",
]
