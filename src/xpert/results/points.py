"""The points of a run's fronts, each of which can be made a design."""

from __future__ import annotations

from typing import Literal, get_args

from xpert.design import Periphery
from xpert.results.record import Number, Positive, Record

FrontName = Literal["phase1", "precision", "joint"]
FRONTS: tuple[FrontName, ...] = get_args(FrontName)
"""Fronts of phase 1; designs that phase 2 measured; designs that rounds of joint search came to."""


class Point(Record):
    """A point of a front, as `xpert pick --json` prints it."""

    number: int
    """Its number in the run, from 1; earlier stages have the lower ones."""

    front: FrontName
    objective: str
    """What is least at the point, as `edap`."""

    along: str
    """At what, as `area`, `quality` or `NI-accuracy`."""

    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    edap: Positive
    quality: Number = None
    """Of the untrained network, where phase 1 put the point; see `architecture.quality_name` of results.json."""

    ni_accuracy: Number = None
    """Measured by phase 2 on its images and chips; None for points of phase 1."""

    ni_accuracy_interval: tuple[float, float] | None = None
    """Its 95 % interval."""

    gap: Number = None
    """By how much of its objective a point of phase 1 may be above the optimum; 0 is proven optimal."""

    channels: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    """Of every layer, where they are not the backbone's own."""

    periphery: tuple[Periphery, ...] = ()
    """Of every layer; empty where the run was recorded by a version that did not keep it."""

    weights: str | None = None
    """File in the run folder whose network this is; None where the run trained no such network."""

    as_measured: bool = False
    """Whether `ni_accuracy` was measured with those weights."""

    @property
    def worth(self) -> float | None:
        """NI-accuracy where it was measured, else the quality."""
        return self.quality if self.ni_accuracy is None else self.ni_accuracy


__all__ = ["FRONTS", "FrontName", "Point"]
