"""The evaluation stage: costs and accuracies of the result and of all homogeneous designs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from xpert.analog import measure_activity, ni_accuracy
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Design
from xpert.experiment.baselines import with_adcs
from xpert.experiment.config import PrecisionSettings
from xpert.hardware import evaluate
from xpert.results import (
    Accuracy,
    BaselineName,
    EvaluationRecord,
    EvaluationStage,
    MeasuredActivity,
    PrecisionPoint,
    Row,
    ratios,
)

_NAMES = {
    "edap": "edap",
    "energy": "energy_uj",
    "latency": "latency_us",
    "area": "area_mm2",
    "tops_per_watt": "tops_per_watt",
    "tops_per_mm2": "tops_per_mm2",
}
"""Name among the ratios of results.json -> name in an evaluation."""


def cost_of(design: Design) -> EvaluationRecord:
    """What a design costs."""
    return EvaluationRecord.parse(evaluate(design).to_dict())


@dataclass(frozen=True)
class Trained:
    """A design with its trained network, and the accuracies of the two."""

    design: Design
    model: nn.Module
    accuracy: Accuracy

    def row(self, design: Design) -> Row:
        """The row of this design, or of one of the same accuracy."""
        return Row(name=design.name, evaluation=cost_of(design), accuracy=self.accuracy)


def compare_designs(
    searched: Trained, typical: Trained, adcs: Iterable[tuple[str, int]], calibration: Tensor
) -> EvaluationStage:
    """The searched design beside the homogeneous ones.

    ADC type and column sharing change no accuracy, so the typical design's stands for all homogeneous ones. Searches
    assume the chip's activity; here designs are also costed with what their trained networks have.

    Args:
        searched: The searched design.
        typical: The typical design.
        adcs: Pairs (ADC type, columns per ADC) of the homogeneous designs.
        calibration: Normalised images on which activity is measured.
    """
    designs = [with_adcs(typical.design, adc_type, columns) for adc_type, columns in adcs]
    rows = [typical.row(design) for design in designs]
    best = min(range(len(designs)), key=lambda index: rows[index].evaluation.edap)
    found = searched.row(searched.design)
    bases: dict[BaselineName, Row] = {"typical": typical.row(typical.design), "best": rows[best]}
    # One network at one precision has one activity.
    measured_typical = measure_activity(typical.model, typical.design, calibration)
    measured: dict[Literal["searched", "typical", "best"], EvaluationRecord] = {
        "searched": cost_of(measure_activity(searched.model, searched.design, calibration)),
        "typical": cost_of(measured_typical),
        "best": cost_of(designs[best].replace(activity=measured_typical.activity)),
    }
    return EvaluationStage(
        searched=found,
        baselines={**bases},
        homogeneous=tuple(rows),
        ratios={name: _named_ratios(found.evaluation, row.evaluation) for name, row in bases.items()},
        measured_activity=MeasuredActivity(
            evaluations=measured,
            ratios={name: _named_ratios(measured["searched"], measured[name]) for name in bases},
        ),
    )


def accuracy_against_precision(
    model: nn.Module, design: Design, validation: TestSet, options: PrecisionSettings, sampling: Sampling
) -> tuple[PrecisionPoint, ...]:
    """NI-accuracy with one precision in all layers, along both axes."""
    finest = max(options.adc_bits), max(options.input_bits)
    points = {(adc, finest[1]) for adc in options.adc_bits} | {(finest[0], bits) for bits in options.input_bits}
    curve = []
    for adc, bits in sorted(points):
        uniform = design.replace(
            periphery=tuple(entry.replace(adc_bits=adc, input_bits=bits) for entry in design.periphery)
        )
        found = ni_accuracy(
            model,
            uniform,
            validation.images,
            validation.labels,
            validation.calibration,
            seed=sampling.seed,
            chips=sampling.chips,
            batch_size=sampling.batch_size,
        )
        curve.append(PrecisionPoint(adc_bits=adc, input_bits=bits, ni_accuracy=found.mean))
    return tuple(curve)


def _named_ratios(found: EvaluationRecord, base: EvaluationRecord) -> dict[str, float]:
    better = ratios(found, base)
    return {name: better[figure] for name, figure in _NAMES.items()}


__all__ = ["Trained", "accuracy_against_precision", "compare_designs", "cost_of"]
