"""Rounds of joint search after phase 2: search, train, measure, and measure the error model anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpert.design import KIND_FIELDS, PRECISION_FIELDS, Design, Network
from xpert.errors import InfeasibleError
from xpert.experiment.precision import FINAL, Floors, choose_precisions
from xpert.hardware import evaluate
from xpert.networks.spaces import LEFT_OUT, Space
from xpert.search.context import Effort
from xpert.search.joint import search_joint
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.search.quality.additive import ADDITIVE, quality_tables, total_quality
from xpert.search.tabulate import Term

if TYPE_CHECKING:
    from xpert.experiment.pipeline import Pipeline

_SECONDS = 120.0
"""Time for the exact solver where the config sets none."""


def joint_rounds(pipeline: Pipeline, first: dict[str, Any]) -> dict[str, Any]:
    """Go on from the outcome of two phases with joint searches; the best outcome.

    Each round starts from the error model of the last network that was measured. Its design is trained, and its
    precisions are chosen again by measurement, against the same least accuracies. A design is adopted if it reaches
    them and is better; the first round that gains nothing is the last.

    Args:
        pipeline: The run under way.
        first: Result of the precision stage.

    Returns:
        The result of the best round, with what every round found under `joint`.
    """
    config, run = pipeline.config, pipeline.run
    objective = config.precision.objective
    floors = Floors(first["floor"], first["confirmation_floor"])
    best, latest, rounds = first, first, []
    trained = {pipeline.design("architecture").network.channels: "searched"}

    def value(result: dict[str, Any]) -> float:
        return objective_value(evaluate(Design.parse(result["design"], "precision")), objective)

    for number in range(1, config.precision.joint_rounds + 1):
        name = f"joint{number}"
        try:
            found = _search(pipeline, latest, best)
        except InfeasibleError:
            break
        row = {
            "channels": list(found.network.channels),
            "promised": objective_value(evaluate(found), objective),
            "present": value(best),
        }
        run.event("precision", "joint", round=number, **row)
        if not best["met"] or row["promised"] >= row["present"]:
            rounds.append(row | {"adopted": False})
            break
        if found.network.channels not in trained:
            pipeline.train(found.network, config.training, name, "precision")
            trained[found.network.channels] = name
        typical = config.baselines.typical.values(PRECISION_FIELDS)
        nominal = found.with_values(PRECISION_FIELDS, [typical] * len(found.periphery))
        model = pipeline.trained(found.network, trained[found.network.channels])
        latest = choose_precisions(
            run,
            nominal,
            model,
            pipeline.dataset,
            lambda figures: pipeline.tell("precision", **figures),
            name=f"{name}-{FINAL}",
            floors=floors,
        )
        adopted = bool(latest["met"]) and value(latest) < value(best)
        rounds.append(row | {"reached": value(latest), "ni_accuracy": latest["ni_accuracy"], "adopted": adopted})
        if not adopted:
            break
        best = latest
        shutil.copyfile(run.working_file(f"{name}-{FINAL}.safetensors"), run.working_file(f"{FINAL}.safetensors"))
    return best | {"joint": rounds}


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


def _search(pipeline: Pipeline, latest: dict[str, Any], best: dict[str, Any]) -> Design:
    """The joint optimum by the error model of the latest network, at the loss that the best design was predicted."""
    config, found = pipeline.config, pipeline.design("architecture").network
    space = _as_found(pipeline.space, found)
    start = Design.parse(best["design"], "precision")
    precisions = config.precision.combinations(PRECISION_FIELDS)
    losses = np.array([row["loss"] for row in latest["sensitivity"]]).reshape(-1, len(precisions))
    # Phase 1 found these widths good enough. Scores that are no sums over layers follow the number of ReLU units.
    measure = config.architecture.quality if config.architecture.quality in ADDITIVE else "relu_units"
    quality = quality_tables(measure, space)
    return search_joint(
        space,
        start,
        kinds=config.periphery.combinations(KIND_FIELDS),
        precisions=precisions,
        losses=losses,
        most_loss=latest["predicted_loss"],
        quality=Term(quality.tables, at_least=total_quality(measure, found) - quality.constant),
        goal=Goal(config.precision.objective, Budgets(area_mm2=config.architecture.area_budget_mm2)),
        effort=Effort("exact", config.seed, config.architecture.seconds or _SECONDS),
        progress=lambda figures: pipeline.tell("precision", **figures),
    ).design


__all__ = ["joint_rounds"]
