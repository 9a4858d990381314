"""results.json of a published experiment: its rows, and what they were chosen from."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from xpert.design import FileModel, Periphery
from xpert.results.accuracy import Accuracy, Measured
from xpert.results.designs import FactorShare, Tiling
from xpert.results.evaluation import EvaluationRecord
from xpert.results.record import Number, Positive, Record
from xpert.results.run import Machine


class Precisions(Periphery, Record):
    """NI-accuracy of the backbone on validation images, at one precision in all layers; what costs it says none of."""

    validation: Measured


class HomogeneousDesign(Precisions):
    """The backbone with one periphery in all layers, in tiles of one size."""

    pes_per_tile: int | None
    edap: Positive


class ComparisonRow(Periphery, Record):
    """One design of the table; a homogeneous one says what it is made of, of others the periphery is not set."""

    pes_per_tile: int | None = None
    evaluation: EvaluationRecord
    accuracy: Accuracy
    """On test images."""

    validation: Measured
    """NI-accuracy on the validation images that choices were made on."""

    wall_seconds: Number = None
    """Of the whole search."""


class ParetoPoint(Record):
    """A measured design that no other one beats."""

    edap: Positive
    ni_accuracy: float


class Comparison(FileModel, Record):
    """results.json of a comparison."""

    layout_versions: ClassVar[range] = range(1, 2)

    schema_version: int = 1
    experiment: dict[str, Any]
    """The experiment file, as `Experiment` read it."""

    machine: Machine = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    date: str | None = None
    command: str | None = None
    chosen: str
    """Our search for the table."""

    target_met: bool
    """Whether it reaches the target NI-accuracy on validation images."""

    rows: dict[str, ComparisonRow]
    ratios: dict[str, dict[str, dict[str, float]]]
    """How many times better each row is than a base, by base, row and figure."""

    single_difference: Measured | None = None
    """NI-accuracy on test images of the chosen search less that of its network with the best single periphery."""

    organisations: dict[str, Tiling] = Field(default_factory=dict)
    """Every row in the tiles that suit it best."""

    factors: tuple[FactorShare, ...] = ()
    """What the typical design's EDAP over the chosen search's is made of."""

    homogeneous: tuple[HomogeneousDesign, ...] = Field(min_length=1)
    fronts: dict[str, tuple[ParetoPoint, ...]] = Field(default_factory=dict)
    """Designs that each search measured."""


__all__ = ["Comparison", "ComparisonRow", "HomogeneousDesign", "ParetoPoint", "Precisions"]
