"""A run folder as the report reads it: every part may be missing, none may be broken."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from xpert.design import AdcType, Design, Periphery, describe, read_mapping, read_text
from xpert.errors import ConfigError, DataError, RunError

SCHEMA = 1
"""Version of results.json that this report reads."""

FILES = ("results.json", "design.json", "config.yaml", "events.jsonl")
"""What the report reads of a run folder."""

ACCURACY = "accuracy.json"
"""What it reads if it is there: no run writes it by itself."""

BaselineName = Literal["typical", "best"]
BASELINES: tuple[BaselineName, ...] = ("typical", "best")


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float | None, pydantic.BeforeValidator(_finite_or_none)]
"""A number that a diverged or infeasible step may lack."""

Breakdown = dict[str, dict[str, pydantic.FiniteFloat]]
"""`{"area_mm2": {component: value}, ...}`."""


class _Part(pydantic.BaseModel):
    """Part of a file. Unknown keys are let through, so that runs of newer versions can still be shown."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate plain data.

        Raises:
            DataError: One line naming the first wrong field.
        """
        try:
            return cls.model_validate(data)
        except pydantic.ValidationError as error:
            raise DataError(describe(error, where)) from None


class LayerCost(Periphery, _Part):
    """One layer of an evaluation: its periphery, what it costs and where it is."""

    name: str
    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    tiles: Annotated[float, Field(gt=0, le=1e6)]
    speed_up: Annotated[int, Field(ge=1)] = 1
    """Copies of the layer's weights."""

    utilization: Annotated[float, Field(ge=0, le=1 + 1e-6)]
    in_channels: int
    out_channels: int
    breakdown: Breakdown = {}


class Evaluation(_Part):
    """Cost of a design: what `xpert evaluate --json` prints."""

    name: str = "design"
    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    edap: Positive
    tops_per_watt: Positive
    tops_per_mm2: Positive
    layers: tuple[LayerCost, ...] = ()
    breakdown: Breakdown = {}


class Accuracy(_Part):
    """Accuracies of one network, as fractions."""

    ideal: Share | None = None
    quantised: Share | None = None
    ni_mean: Share | None = None
    ni_std: Annotated[float, Field(ge=0)] | None = None
    chips: int | tuple[Share, ...] | None = None
    """How many sampled chips the mean is over, or the accuracy of each."""

    @property
    def n_chips(self) -> int | None:
        """How many sampled chips the mean is over."""
        return len(self.chips) if isinstance(self.chips, tuple) else self.chips


class Row(_Part):
    """A design's evaluation and, where it was run, its accuracy."""

    name: str = "design"
    evaluation: Evaluation
    accuracy: Accuracy | None = None

    @property
    def homogeneous(self) -> LayerCost | None:
        """A layer that stands for all, if all have the same periphery."""
        layers = self.evaluation.layers
        kinds = {layer.values(Periphery.decisions()) for layer in layers}
        return layers[0] if len(kinds) == 1 else None


class MeasuredActivity(_Part):
    """Designs evaluated with the activity that their trained networks have, instead of what the search assumed."""

    evaluations: dict[Literal["searched", "typical", "best"], Evaluation] = {}
    ratios: dict[BaselineName, dict[str, Positive]] = {}


class Step(_Part):
    """One step of the architecture search."""

    step: int
    objective: Number = Field(default=None, validation_alias=pydantic.AliasChoices("objective", "value"))
    """Objective; strategies that keep a book of the best so far call it `value`."""

    area_mm2: Number = None
    feasible: bool = True


class Round(_Part):
    """One round of tables, search and full evaluation."""

    round: int
    area_mm2: Number = None
    score: Number = None
    feasible: bool = True


class Costs(_Part):
    """A design on the axes of the Pareto fronts."""

    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    edap: Positive
    quality: Annotated[float, Field(allow_inf_nan=False)]


class FrontPoint(Costs):
    """A design that no other one beats on both axes of a front."""

    tabulated: Number = None
    """Its objective by the cost tables."""

    lower_bound: Number = None
    """No design within the point's budget has a smaller objective, by the cost tables."""

    gap: Number = None
    """`(tabulated - lower_bound) / tabulated`; 0 is proven optimal."""

    channels: tuple[int, ...] = ()
    periphery: tuple[str, ...] = ()


class Front(_Part):
    """A Pareto front of phase 1."""

    objective: str
    along: str
    points: tuple[FrontPoint, ...] = ()


class Homogeneous(Costs):
    """The backbone with one periphery in all layers."""

    adc_type: AdcType
    columns_per_adc: int


class Architecture(_Part):
    """Phase 1."""

    strategy: str | None = None
    objective: str | None = None
    area_budget_mm2: Positive | None = None
    quality: str | None = None
    score: Number = None
    score_backbone: Number = None
    score_minimum: Number = None
    value: Number = None
    """Objective of the design."""

    lower_bound: Number = None
    """No design has a smaller objective under the cost tables of the last round."""

    trace: tuple[Step, ...] = ()
    rounds: tuple[Round, ...] = ()
    options_per_layer: int | tuple[int, ...] | None = None
    space_size: Number = None
    budgets: dict[str, Positive] = {}
    """Limits by name, as `latency_us`."""

    quality_name: str = "quality"
    """What the fronts call quality."""

    found: Costs | None = None
    fronts: tuple[Front, ...] = ()
    homogeneous: tuple[Homogeneous, ...] = ()


class Epoch(_Part):
    """One epoch of training."""

    epoch: float
    loss: Number = None
    train_accuracy: Number = None
    validation_accuracy: Number = None
    images_per_second: Number = None


class Tried(_Part):
    """One design that the precision search measured."""

    adc_bits: tuple[int, ...]
    input_bits: tuple[int, ...]
    ni_accuracy: Number = None
    energy_uj: Positive | None = None
    latency_us: Positive | None = None
    edap: Positive | None = None
    feasible: bool = True


class Sensitivity(_Part):
    """What one precision does to one layer."""

    layer: str | int
    adc_bits: int
    input_bits: int
    error: Number = None
    """Noise-to-signal power of the layer's output."""

    loss: Number = None
    """What that error costs the network, by phase 2's additive model. [nat]"""


class Measured(_Part):
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


class Finetuning(_Part):
    """NI-accuracy before and after the training at the chosen precisions."""

    before: float
    after: float
    kept: bool


class Precision(_Part):
    """Phase 2."""

    strategy: str | None = None
    objective: str | None = None
    maximum_drop: Number = None
    nominal_ni_accuracy: Number = None
    floor: Number = None
    met: bool | None = None
    tried: tuple[Tried, ...] = ()
    confirmed: tuple[Tried, ...] = ()
    """Designs that were measured again on other chips and images; the last one is the result."""

    ni_accuracy: Measured | None = None
    """Of the result."""

    difference: Measured | None = None
    """The result's less the nominal design's, on the same chips and images."""

    finetuning: Finetuning | None = None
    sensitivity: tuple[Sensitivity, ...] = ()


class PrecisionPoint(_Part):
    """NI-accuracy with the same precision in every layer."""

    adc_bits: int
    input_bits: int
    ni_accuracy: Number = None


class NiAccuracy(_Part):
    """NI-accuracy over chips; without an interval where there was one chip."""

    ni_mean: Share
    ni_low: Share | None = None
    ni_high: Share | None = None


class Effect(_Part):
    """NI-accuracy with one effect alone, and with all but that one."""

    effect: str
    alone: NiAccuracy
    without: NiAccuracy


class ByEffect(NiAccuracy):
    """accuracy.json: what `xpert accuracy --write` wrote."""

    quantised: Share
    images: Annotated[int, Field(ge=1)]
    chips: tuple[Share, ...]
    changes: tuple[str, ...] = ()
    """What was set otherwise than in the design."""

    ablation: tuple[Effect, ...] = ()


class Results(_Part):
    """results.json."""

    schema_version: int = SCHEMA
    name: str | None = None
    seed: int | None = None
    machine: dict[str, str | int | float | None] = {}
    date: str | None = None
    command: str | None = None
    wall_seconds: Number = None
    peak_memory_mib: Number = None
    searched: Row | None = None
    baselines: dict[BaselineName, Row | None] = {}
    homogeneous: tuple[Row, ...] = ()
    ratios: dict[BaselineName, dict[str, Positive]] = {}
    measured_activity: MeasuredActivity | None = None
    architecture: Architecture | None = None
    training: dict[str, tuple[Epoch, ...]] = {}
    precision: Precision | None = None
    accuracy_vs_precision: tuple[PrecisionPoint, ...] = ()

    @classmethod
    def parse(cls, data: Any, where: str = "results") -> Self:
        """Validate plain data; the version is checked first, so that the message is about it."""
        if isinstance(data, dict) and data.get("schema_version", SCHEMA) != SCHEMA:
            raise DataError(
                f"{where}: schema_version: this XPert reads version {SCHEMA}, got {data['schema_version']!r}"
            )
        return super().parse(data, where)


class Event(_Part):
    """One line of events.jsonl; its numbers are in `model_extra`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    time: datetime
    stage: str
    event: str = ""


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds so far."""

    folder: Path
    results: Results
    design: Design | None
    config: str | None
    events: tuple[Event, ...]
    absent: tuple[str, ...]
    """Names of the files that are not there."""

    by_effect: ByEffect | None = None
    """Of accuracy.json."""


def read_run(folder: Path | str) -> RunFiles:
    """Read a finished or unfinished run.

    Of an unfinished run, the results of finished stages and the log of the stage under way stand in for results.json.

    Raises:
        RunError: If it is not a run folder.
        DataError: If a file is broken.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            raise RunError(f"{folder}: {'not a' if folder.exists() else 'no such'} folder; expected a run folder")
        present = {name: folder / name for name in FILES if (folder / name).exists()}
    except OSError as error:
        raise RunError(f"{folder}: cannot read this run folder: {error.strerror}") from None
    if not present:
        raise RunError(f"{folder}: not a run folder: it has none of {', '.join(FILES)}")
    try:
        events = _read_events(path) if (path := present.get("events.jsonl")) else ()
        if path := present.get("results.json"):
            results, design = Results.parse(read_mapping(path, "results file"), str(path)), None
        else:
            results, design = _unfinished(folder, events)
        if path := present.get("design.json"):
            design = Design.read(path)
        by_effect, config = None, None
        if (path := folder / ACCURACY).exists():
            by_effect = ByEffect.parse(read_mapping(path, "accuracy file"), str(path))
        if path := present.get("config.yaml"):
            name = read_mapping(path, "config file").get("name")
            if results.name is None and isinstance(name, str):
                results = Results.parse(dict(results) | {"name": name}, str(path))
            config = read_text(path, "config file")
    except ConfigError as error:
        raise DataError(str(error)) from None
    absent = tuple(name for name in FILES if name not in present)
    return RunFiles(folder, results, design, config, events, absent, by_effect)


def _read_events(path: Path) -> tuple[Event, ...]:
    # The log grows line by line: a kill may leave the last one unfinished, and only that one.
    lines = read_text(path, "event log").split("\n")[:-1]
    events = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number}: not a JSON object: {error}") from None
        events.append(Event.parse(data, f"{path}: line {number}"))
    return tuple(events)


def _unfinished(folder: Path, events: tuple[Event, ...]) -> tuple[Results, Design | None]:
    """What finished stages left in `state/`, and what the stage under way has logged; the newest design among it."""
    stages: dict[str, dict[str, Any]] = {}
    for stage in ("architecture", "training", "baseline", "precision", "evaluation"):
        path = folder / "state" / f"{stage}.json"
        if path.exists():
            stages[stage] = read_mapping(path, "stage result")

    def logged(stage: str, key: str) -> list[dict[str, Any]]:
        return [extra for event in events if event.stage == stage and key in (extra := event.model_extra or {})]

    curves = {}
    for name, stage in (("searched", "training"), ("typical", "baseline")):
        epochs = {str(entry["epoch"]): entry for entry in logged(stage, "epoch")}  # a resumed run logs some twice
        curves[name] = stages.get(stage, {}).get("curve", list(epochs.values()))
    data = {
        **stages.get("evaluation", {}),
        "training": curves,
        "architecture": stages.get("architecture")
        or {
            "trace": logged("architecture", "step"),
            "rounds": logged("architecture", "round"),
        },
        "precision": stages.get("precision") or {"tried": logged("precision", "adc_bits")},
    }
    design = None
    for stage in ("precision", "architecture"):
        if design is None and "design" in stages.get(stage, {}):
            design = Design.parse(stages[stage]["design"], f"{folder / 'state' / stage}.json: design")
    return Results.parse(data, str(folder / "state")), design
