"""Rounds of joint search after phase 2: search, train, measure, and measure the error model anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Network, Periphery
from xpert.errors import InfeasibleError
from xpert.experiment.config import ArchitectureSettings, PeripheryOptions, PrecisionSettings
from xpert.experiment.stages.precision import FINAL, Floors
from xpert.hardware import evaluate
from xpert.networks.spaces import LEFT_OUT, Space
from xpert.progress import Progress, Report
from xpert.results import JointRound, PrecisionStage, TriedDesign, lists_of
from xpert.search.context import Effort
from xpert.search.joint import search_joint
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.search.quality.additive import is_sum, quality_tables, total_quality
from xpert.search.tabulate import Term

_SECONDS = 120.0
"""Time for the exact solver where the config sets none."""


@dataclass(frozen=True)
class JointSettings:
    """The parts of the config that joint searches need."""

    precision: PrecisionSettings
    architecture: ArchitectureSettings
    periphery: PeripheryOptions
    nominal: Periphery
    """Of the typical design."""

    seed: int


class JointWork(Protocol):
    """What a round has done by others."""

    def train(self, network: Network, name: str) -> None:
        """Train a network; its weights are kept under the name."""
        ...

    def choose(self, design: Design, weights: str, name: str, floors: Floors) -> PrecisionStage:
        """Choose precisions of a design by measurement; the final weights are kept under the name."""
        ...

    def make_final(self, name: str) -> None:
        """Make the weights under a name the run's final ones."""
        ...

    def report(self, progress: Progress) -> None:
        """Pass on how far a search is."""
        ...

    def record(self, figures: dict[str, Any]) -> None:
        """Note what a round found."""
        ...


def joint_rounds(
    first: PrecisionStage, network: Network, space: Space, settings: JointSettings, work: JointWork
) -> PrecisionStage:
    """Go on from the outcome of two phases with joint searches; the best outcome.

    Each round starts from the error model of the last network that was measured. Its design is trained, and its
    precisions are chosen again by measurement, against the same least accuracies. A design is adopted if it reaches
    them and is better; the first round that gains nothing is the last.

    Args:
        first: Result of phase 2.
        network: From phase 1; its trained weights are kept under the name "searched".
        space: The networks among which phase 1 chose.
        settings: Parts of the config.
        work: Trains and measures.

    Returns:
        The result of the best round, with what every round found under `joint`.
    """
    objective = settings.precision.objective
    floors = Floors(first.floor, first.confirmation_floor)
    best, latest = first, first
    rounds: list[JointRound] = []
    trained = {network.channels: "searched"}

    def value(design: Design) -> float:
        return float(objective_value(evaluate(design), objective))

    for number in range(1, settings.precision.joint_rounds + 1):
        name = f"joint{number}"
        try:
            found = _search(latest, best, network, space, settings, work.report)
        except InfeasibleError:
            break
        promised, present = value(found), value(best.design)
        row = {"channels": found.network.channels, "promised": promised, "present": present}
        if found.network.kernels:
            row["kernels"] = found.network.kernels
        work.record({"round": number} | row)
        if not best.met or promised >= present:
            rounds.append(JointRound(**row, adopted=False))
            break
        if found.network.channels not in trained:
            work.train(found.network, name)
            trained[found.network.channels] = name
        typical = settings.nominal.values(PRECISION_FIELDS)
        nominal = found.with_values(PRECISION_FIELDS, [typical] * len(found.periphery))
        latest = work.choose(nominal, trained[found.network.channels], f"{name}-{FINAL}", floors)
        reached = value(latest.design)
        adopted = latest.met and reached < value(best.design)
        rounds.append(
            JointRound(
                **row, reached=reached, ni_accuracy=latest.ni_accuracy, design=_measured(latest), adopted=adopted
            )
        )
        if not adopted:
            break
        best = latest
        work.make_final(f"{name}-{FINAL}")
    return best.replace(joint=tuple(rounds))


def _measured(outcome: PrecisionStage) -> TriedDesign:
    """What phase 2 chose, with the figures of its last measurement."""
    costs, accuracy = evaluate(outcome.design).to_dict(), outcome.ni_accuracy
    return TriedDesign(
        **lists_of(outcome.design.periphery),
        ni_accuracy=accuracy.mean,
        ni_accuracy_interval=(accuracy.low, accuracy.high),
        feasible=outcome.met,
        **{name: costs[name] for name in ("energy_uj", "latency_us", "edap")},
    )


def _as_found(space: Space, found: Network) -> Space:
    """The space with the layers, and the kernels, that a network has: the error model knows no others."""
    return replace(
        space,
        choices=tuple(
            tuple(option for option in options if option != LEFT_OUT) if width else (LEFT_OUT,)
            for options, width in zip(space.choices, found.channels, strict=True)
        ),
        kernels=tuple((kernel,) for kernel in found.kernels or space.backbone_kernels),
    )


def _search(
    latest: PrecisionStage,
    best: PrecisionStage,
    network: Network,
    space: Space,
    settings: JointSettings,
    progress: Report,
) -> Design:
    """The joint optimum by the error model of the latest network, at the loss that the best design was predicted."""
    precision, architecture = settings.precision, settings.architecture
    space = _as_found(space, network)
    # Phase 1 found these widths good enough. Scores that are no sums over layers follow the number of ReLU units.
    measure = architecture.quality if is_sum(architecture.quality) else "relu_units"
    quality = quality_tables(measure, space)
    most_loss = latest.predicted_loss
    assert most_loss is not None  # noqa: S101 (joint rounds need the strategy that predicts)
    return search_joint(
        space,
        best.design,
        kinds=settings.periphery.combinations(KIND_FIELDS),
        precisions=precision.combinations(PRECISION_FIELDS),
        losses=np.array(latest.losses()),
        most_loss=most_loss,
        quality=Term(quality.tables, at_least=total_quality(measure, network) - quality.constant),
        goal=Goal(precision.objective, Budgets(area_mm2=architecture.area_budget_mm2)),
        effort=Effort("exact", settings.seed, architecture.seconds or _SECONDS),
        progress=progress,
    ).design


__all__ = ["JointSettings", "JointWork", "joint_rounds"]
