"""The architecture stage: phase 1, and the Pareto fronts around what it finds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xpert.design import ARCHITECTURE_FIELDS, Chip, Design, Network, Periphery
from xpert.experiment.baselines import typical_of, with_periphery
from xpert.experiment.config import ArchitectureSettings
from xpert.experiment.variants import robust_record
from xpert.files import jsonable
from xpert.hardware import evaluate
from xpert.hardware.variants import variant_named
from xpert.networks.own import OwnNetwork
from xpert.networks.spaces import Space
from xpert.progress import Report
from xpert.results import ArchitectureStage, Front, HomogeneousCosts, ProofStep, Robust, Step
from xpert.search.architecture import ArchitectureResult, search_architecture
from xpert.search.fronts import architecture_fronts, evaluate_on_axes
from xpert.search.objectives import Budgets, Goal
from xpert.search.organisation import organisations
from xpert.search.quality.additive import Quality, additive_quality, is_sum, layer_sum
from xpert.search.quality.scores import score
from xpert.search.robust import search_robust
from xpert.search.variants import EVALUATIONS
from xpert.training import Dataset

_SCORE_IMAGES = 64


def search_network(
    space: Space,
    chip: Chip,
    nominal: Periphery,
    options: Sequence[Periphery],
    settings: ArchitectureSettings,
    *,
    name: str,
    quality: Quality,
    seed: int,
    progress: Report,
) -> ArchitectureStage:
    """Search network and ADCs, and prove the fronts around them.

    Args:
        space: Networks to choose from.
        chip: What is common to all layers.
        nominal: Periphery of the typical design.
        options: Peripheries from which every layer chooses.
        settings: `architecture` of the config.
        name: Of the design.
        quality: What is held up, from `quality_of`.
        seed: Of the strategy.
        progress: Called as work goes on.

    Raises:
        InfeasibleError: If no design meets the budgets.
    """
    given = chip
    found = search_architecture(
        space,
        chip,
        options,
        objective=settings.objective,
        budgets=Budgets(**settings.budgets),
        quality=quality,
        minimum_quality=settings.minimum_quality,
        strategy=settings.strategy,
        seed=seed,
        seconds=settings.seconds,
        evaluations=settings.evaluations,
        tilings=organisations(chip)[1:] if settings.choose_tiles else (),
        progress=progress,
    )
    chip = found.design.chip  # in the tiles that were chosen
    design, score_found, robust = found.design, found.score, None
    if settings.robust:
        design, robust = _robust(found, space, options, settings, quality, seed, progress)
        score_found = None if score_found is None else quality.measure(design.network)
    fronts: tuple[Front, ...] = ()
    if settings.front_points:
        fronts = architecture_fronts(
            found.problem,
            space,
            chip,
            options,
            quality.tabulated,
            settings.front_points,
            relaxed=found.relaxed,
            progress=progress,
        )
    typical = typical_of(space, given, nominal)
    homogeneous = [
        HomogeneousCosts.parse(
            option.model_dump(include={*ARCHITECTURE_FIELDS})
            | evaluate_on_axes(with_periphery(typical, option), quality.tabulated).to_dict()
        )
        for option in options
    ]
    stage = ArchitectureStage(
        design=design.replace(name=name),
        strategy=settings.strategy,
        objective=settings.objective,
        area_budget_mm2=settings.area_budget_mm2,
        budgets={name: limit for name, limit in settings.budgets.items() if limit is not None},
        quality=settings.quality,
        score=score_found,
        score_backbone=found.score_backbone,
        score_minimum=found.score_minimum,
        value=Goal(settings.objective).value(evaluate(design)),
        lower_bound=found.lower_bound,
        trace=tuple(Step.parse(jsonable(row)) for row in found.trace),
        proof=tuple(_proof_step(*step) for step in found.proof),
        rounds=found.rounds,
        options_per_layer=len(options),
        space_size=float(found.space_size),
        found=evaluate_on_axes(design, quality.tabulated),
        quality_name=layer_sum(quality.tabulated).label,
        fronts=fronts,
        homogeneous=tuple(homogeneous),
    )
    return stage if robust is None else stage.replace(robust=robust)


def _proof_step(regions: int, value: float, bound: float) -> ProofStep:
    """A step of the proof; before anything is known, infinities are nothing."""
    known = {"value": value, "lower_bound": bound}
    return ProofStep(regions=regions, **{name: figure for name, figure in known.items() if math.isfinite(figure)})


def _robust(
    found: ArchitectureResult,
    space: Space,
    options: Sequence[Periphery],
    settings: ArchitectureSettings,
    quality: Quality,
    seed: int,
    progress: Report,
) -> tuple[Design, Robust]:
    """The design with the least worst regret, and what is said of it."""
    result = search_robust(
        found.design,
        space,
        options,
        Goal(settings.objective, Budgets(**settings.budgets)),
        quality,
        settings.minimum_quality,
        [variant_named(name) for name in settings.robust],
        strategy=settings.strategy,
        seed=seed,
        seconds=settings.seconds,
        evaluations=settings.evaluations or EVALUATIONS,
        progress=progress,
    )
    return result.design, robust_record(result, found.design, found.value)


def quality_of(name: str, dataset: Dataset, seed: int, own: OwnNetwork | None = None) -> Quality:
    """What stands in for the accuracy of an untrained network, by its name in the config.

    Args:
        name: Of the quality.
        dataset: Images that scores look at.
        seed: Of the initial weights of backbones.
        own: The network of the user's own that networks are made from.
    """
    if is_sum(name):
        return additive_quality(name)
    # Scores build networks of their own, a batch of images each: the processor is fast enough.
    images = dataset.normalised(dataset.train_images[:_SCORE_IMAGES]).cpu()
    labels = dataset.train_labels[:_SCORE_IMAGES].cpu()
    if own is None:
        return Quality(name, lambda network: score(name, network, images, labels, seed=seed))
    known: dict[tuple[int, ...], float] = {}

    def measure(network: Network) -> float:
        if network.channels not in known:
            known[network.channels] = score(name, own.module(network.channels), images, labels)
        return known[network.channels]

    return Quality(name, measure)


__all__ = ["quality_of", "search_network"]
