"""What robustness costs and saves: `python -m benchmarks.robust [--out results/robust.md]`.

Phase 1 of the quickstart, and the least worst regret over five variants of the model.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path

from benchmarks.variants import table
from xpert.design import ARCHITECTURE_FIELDS, Design, options_of
from xpert.experiment.config import search_space
from xpert.experiment.presets import load_preset
from xpert.files import write_atomically
from xpert.hardware.variants import variant_named
from xpert.machine import cpu_name
from xpert.search.architecture import search_architecture
from xpert.search.objectives import Budgets, Goal
from xpert.search.quality.additive import additive_quality
from xpert.search.robust import RobustResult, search_robust, worst_of
from xpert.text import plain_number, plain_percent

NAMES = ("nominal", "adc-energy*5", "adc-area*5", "survey-adcs-best", "clock-chip")
"""The variants."""

INTRODUCTION = """\
Phase 1 of the quickstart (EDAP within 12 mm2, width law at least the backbone's own): the nominal optimum, and the
design with the least worst regret over the five variants below. Regret: by how much EDAP exceeds that of the best
design known under the variant."""


def search() -> tuple[Design, RobustResult, tuple[float, float]]:
    """The nominal optimum, the least worst regret, and what both took. [s]"""
    config = load_preset("quickstart")
    settings, budgets = config.architecture, Budgets(**config.architecture.budgets)
    space, options = search_space(config), options_of(config.baselines.typical, **config.periphery.options)
    quality = additive_quality(settings.quality)
    started = time.process_time()
    nominal = search_architecture(
        space,
        config.chip,
        options,
        objective=settings.objective,
        budgets=budgets,
        quality=quality,
        minimum_quality=settings.minimum_quality,
        strategy=settings.strategy,
        seed=config.seed,
    )
    found = time.process_time()
    result = search_robust(
        nominal.design,
        space,
        options,
        Goal(settings.objective, budgets),
        quality,
        settings.minimum_quality,
        [variant_named(name) for name in NAMES],
        strategy=settings.strategy,
        seed=config.seed,
    )
    return nominal.design, result, (found - started, time.process_time() - found)


def page() -> str:
    """The whole page."""
    nominal, result, (before, taken) = search()
    rows = [
        [
            name,
            plain_number(regret.best),
            plain_number(result.nominal[name].value),
            plain_percent(result.nominal[name].regret),
            plain_number(regret.value),
            plain_percent(regret.regret),
        ]
        for name, regret in result.regrets.items()
    ]
    rows.append(["worst", "", "", plain_percent(worst_of(result.nominal)), "", plain_percent(result.worst)])
    designs = [
        [
            name,
            " ".join(str(layer.out_channels) for layer in design.network.layers),
            " ".join(entry.short(ARCHITECTURE_FIELDS) for entry in design.periphery),
        ]
        for name, design in (("nominal optimum", nominal), ("least worst regret", result.design))
    ]
    parts = [
        "# The least worst regret",
        "    python -m benchmarks.robust --out results/robust.md",
        f"{date.today().isoformat()}, one core of {cpu_name()}.",
        INTRODUCTION,
        table(["variant", "best known", "EDAP of nominal", "regret", "EDAP of robust", "regret"], rows),
        f"No design of the space regrets less than {plain_percent(result.lower_bound)}. CPU time: {before:.0f} s "
        f"for the nominal optimum with its proof, {taken:.0f} s for the least worst regret with its bound.",
        "## The designs",
        table(["design", "output channels", "ADC type and columns per ADC"], designs, numbers=False),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Search, then print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write here instead of printing")
    arguments = parser.parse_args()
    text = page()
    if arguments.out is None:
        print(text, end="")
    else:
        write_atomically(arguments.out, text)


if __name__ == "__main__":
    main()
