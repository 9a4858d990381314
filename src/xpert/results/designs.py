"""A searched design beside its homogeneous baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xpert.design import Periphery
from xpert.results.accuracy import Accuracy
from xpert.results.evaluation import EvaluationRecord, LayerCost
from xpert.results.record import Number, Positive, Record
from xpert.results.variants import VariantRow

BaselineName = Literal["typical", "best"]
BASELINES: tuple[BaselineName, ...] = ("typical", "best")


class Row(Record):
    """A design's evaluation and, where it was run, its accuracy."""

    name: str = "design"
    evaluation: EvaluationRecord
    accuracy: Accuracy | None = None

    @property
    def homogeneous(self) -> LayerCost | None:
        """A layer that stands for all, if all have the same periphery."""
        layers = self.evaluation.layers
        kinds = {layer.values(Periphery.decisions()) for layer in layers}
        return layers[0] if len(kinds) == 1 else None


class MeasuredActivity(Record):
    """Designs evaluated with the activity that their trained networks have, instead of what the search assumed."""

    evaluations: dict[Literal["searched", "typical", "best"], EvaluationRecord] = Field(default_factory=dict)
    ratios: dict[BaselineName, dict[str, Positive]] = Field(default_factory=dict)


class PrecisionPoint(Periphery, Record):
    """NI-accuracy with the same precision in every layer; the rest of the periphery is not set."""

    ni_accuracy: Number = None


class DesignComparison(Record):
    """The searched design, the typical and the best homogeneous one, and all homogeneous designs."""

    searched: Row | None = None
    baselines: dict[BaselineName, Row | None] = Field(default_factory=dict)
    homogeneous: tuple[Row, ...] = ()
    ratios: dict[BaselineName, dict[str, Positive]] = Field(default_factory=dict)
    """How many times better the searched design is, by quantity: `edap`, `energy`, `tops_per_watt` and so on."""

    measured_activity: MeasuredActivity | None = None
    variants: tuple[VariantRow, ...] = ()
    """The same designs under variants of the model, `nominal` first."""

    accuracy_vs_precision: tuple[PrecisionPoint, ...] = ()


__all__ = ["BASELINES", "BaselineName", "DesignComparison", "MeasuredActivity", "PrecisionPoint", "Row"]
