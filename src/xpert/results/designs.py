"""A searched design beside its homogeneous baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xpert.design import Periphery
from xpert.results.accuracy import Accuracy, Measured
from xpert.results.evaluation import EvaluationRecord, LayerCost
from xpert.results.record import Number, Positive, Record
from xpert.results.variants import VariantRow

BaselineName = Literal["typical", "best", "single"]
BASELINES: tuple[BaselineName, ...] = ("typical", "best", "single")
"""What the searched design is compared with: the backbone at the typical periphery, and at its best one; and the
searched network at the best periphery that all its layers can share."""

DesignName = Literal["searched", "typical", "best", "single"]


class Row(Record):
    """A design's evaluation and, where it was run, its accuracy."""

    name: str = "design"
    evaluation: EvaluationRecord
    accuracy: Accuracy | None = None

    @property
    def homogeneous(self) -> LayerCost | None:
        """A layer that stands for all, if all have the same periphery."""
        layers = self.evaluation.on_crossbars
        kinds = {layer.values(Periphery.decisions()) for layer in layers}
        return layers[0] if len(kinds) == 1 else None


class MeasuredActivity(Record):
    """Designs evaluated with the activity that their trained networks have, instead of what the search assumed."""

    evaluations: dict[DesignName, EvaluationRecord] = Field(default_factory=dict)
    ratios: dict[BaselineName, dict[str, Positive]] = Field(default_factory=dict)


class Tiling(Record):
    """A design in the tiles of its run, and in those that suit it best."""

    own: str
    """The run's organisation of tiles, in words."""

    edap: Positive
    """In it. [uJ us mm2]"""

    best: str
    """The organisation of least EDAP among those that were tried."""

    subarrays_per_pe: int | None = None
    """Of that; None where the floorplan chooses."""

    pes_per_tile: int | None = None
    best_edap: Positive


class FactorShare(Record):
    """What one difference between two designs is worth: how many times lower each quantity is by it."""

    name: str
    """`network`, `chip`, or a field of the periphery."""

    edap: Positive
    """Shapley share; over all factors they multiply to the ratio of the two designs."""

    area: Positive
    latency: Positive
    energy: Positive
    edap_alone: Positive
    """If it alone is changed in the first design."""

    edap_last: Positive
    """If all others were changed before."""


class PrecisionPoint(Periphery, Record):
    """NI-accuracy with the same precision in every layer; the rest of the periphery is not set."""

    ni_accuracy: Number = None


class DesignComparison(Record):
    """The searched design, its baselines, and all homogeneous designs."""

    searched: Row | None = None
    baselines: dict[BaselineName, Row | None] = Field(default_factory=dict)
    homogeneous: tuple[Row, ...] = ()
    ratios: dict[BaselineName, dict[str, Positive]] = Field(default_factory=dict)
    """How many times better the searched design is, by quantity: `edap`, `energy`, `tops_per_watt` and so on."""

    single_difference: Measured | None = None
    """NI-accuracy of the searched design less that of its network with the best single periphery, on the same test
    images and chips."""

    organisations: dict[DesignName, Tiling] = Field(default_factory=dict)
    organisation_ratios: dict[BaselineName, Positive] = Field(default_factory=dict)
    """How many times lower the searched design's EDAP is, each of the two in the tiles that suit it best."""

    factors: tuple[FactorShare, ...] = ()
    """What the typical design's EDAP over the searched one's is made of."""

    measured_activity: MeasuredActivity | None = None
    variants: tuple[VariantRow, ...] = ()
    """The same designs under variants of the model, `nominal` first."""

    accuracy_vs_precision: tuple[PrecisionPoint, ...] = ()


__all__ = [
    "BASELINES",
    "BaselineName",
    "DesignComparison",
    "DesignName",
    "FactorShare",
    "MeasuredActivity",
    "PrecisionPoint",
    "Row",
    "Tiling",
]
