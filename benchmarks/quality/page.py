"""The page of results, its figure, and the predictor that XPert ships: all from the files of measurements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.quality.predictors import LONG, PREDICTORS, SHORT, STAGES, WITH_ABSENCES, Floats, Networks, Predictor
from benchmarks.quality.statistics import Agreement, agreement, ceiling, chance, lead, spearman
from xpert.files import write_atomically

WIDTH_LAW = Path(__file__).parents[2] / "src" / "xpert" / "search" / "quality" / "width_law.json"
SHIPPED = {"vgg": "width law", "any": "width law, one loss"}
"""Predictors that are shipped: for VGG networks, by the longer budget, and for backbones that were not measured."""

WIDE = 64
"""Narrowest layer of the space of the XPert paper."""

COMBINED = ("naswot", "synflow")
"""Scores whose mean rank is tried as a combination without a fit."""


@dataclass(frozen=True)
class Measurements:
    """Networks that were trained once with one budget and seed 0, and what else was measured."""

    networks: Networks
    accuracy: Floats
    """On images held back from training, [networks]."""

    macs: Floats
    """Per image, [networks]."""

    again: Floats
    """Accuracies of the networks that were trained with two seeds, [networks, 2]."""

    rows: list[dict[str, Any]]
    """All trainings."""

    @property
    def wide(self) -> NDArray[np.bool_]:
        """Which networks are of the space of the XPert paper."""
        return self.networks.widths.min(axis=1) >= WIDE


def read(folder: Path, passes: int) -> Measurements:
    """The measurements with one budget."""
    rows = [row for row in _lines(folder / "accuracies.jsonl") if row["epochs"] == passes]
    scores = {_present(row): row["scores"] for row in _lines(folder / "scores.jsonl")}
    first, second = ({_present(row): row for row in rows if row["seed"] == seed} for seed in (0, 1))
    names = next(iter(scores.values()))
    networks = Networks(
        np.array(list(first), dtype=np.float64),
        {name: np.array([scores[widths][name] for widths in first]) for name in names},
    )
    return Measurements(
        networks,
        accuracy=np.array([row["accuracy"] for row in first.values()]),
        macs=np.array([row["macs"] for row in first.values()], dtype=np.float64),
        again=np.array([[first[key]["accuracy"], row["accuracy"]] for key, row in second.items() if key in first]),
        rows=rows,
    )


def _present(row: dict[str, Any]) -> tuple[int, ...]:
    """Widths of the convolutions, 0 for one that is left out."""
    kernels = row["kernels"] or [1] * len(row["widths"])
    return tuple(width if kernel else 0 for width, kernel in zip(row["widths"], kernels))


def width_law(measured: Measurements, predictor: Predictor, left_out: Floats) -> dict[str, Any]:
    """The shipped form of a predictor that is fitted to all networks."""
    fit = predictor.fit(measured.networks, measured.accuracy)
    widths = measured.networks.widths
    parts = fit.coefficients.reshape(-1, STAGES.max() + 1) if len(fit.coefficients) > 1 else [fit.coefficients]
    losses, *absences = ((part / np.bincount(STAGES))[STAGES] if len(part) > 1 else part for part in parts)
    present = widths[widths > 0]
    return {
        "losses": [float(f"{loss:.4g}") for loss in losses],
        **({"absences": [float(f"{absence:.4g}") for absence in absences[0]]} if absences else {}),
        "exponent": fit.exponent,
        "ceiling": float(f"{fit.constant:.4g}"),
        "networks": len(widths),
        "least_width": int(present.min()),
        "largest_width": int(present.max()),
        "error": float(f"{np.sqrt(((left_out - measured.accuracy) ** 2).mean()):.2g}"),
        "spearman": float(f"{spearman(left_out, measured.accuracy):.3g}"),
    }


def write(folder: Path) -> None:
    """Write the page, the figure and the shipped predictor."""
    short, long = read(folder, SHORT), read(folder, LONG)
    left_out = {predictor.name: predictor.left_out(short.networks, short.accuracy) for predictor in PREDICTORS}
    left_out_long = {predictor.name: predictor.left_out(long.networks, long.accuracy) for predictor in WITH_ABSENCES}
    laws = {
        "vgg": width_law(long, named(WITH_ABSENCES, SHIPPED["vgg"]), left_out_long[SHIPPED["vgg"]]),
        "any": width_law(short, named(PREDICTORS, SHIPPED["any"]), left_out[SHIPPED["any"]]),
    }
    write_atomically(WIDTH_LAW, json.dumps(laws, indent=1) + "\n")
    about = json.loads((folder / "about.json").read_text())
    write_atomically(folder / "README.md", _page(short, left_out, long, left_out_long, laws, about))
    _figure(long, left_out_long[SHIPPED["vgg"]], folder / "quality.svg")
    print(f"{folder / 'README.md'}\n{folder / 'quality.svg'}\n{WIDTH_LAW}")


def named(predictors: Sequence[Predictor], name: str) -> Predictor:
    """The predictor of a name."""
    return next(predictor for predictor in predictors if predictor.name == name)


def _page(
    short: Measurements,
    left_out: dict[str, Floats],
    long: Measurements,
    left_out_long: dict[str, Floats],
    laws: dict[str, dict[str, Any]],
    about: dict[str, Any],
) -> str:
    parts = [
        "# What predicts accuracy",
        "    python -m benchmarks.quality tables",
        _provenance(short, long, about),
        "## Four passes, some layers left out",
        _chance(long),
        *_tables(long, left_out_long, np.ones(len(long.accuracy), dtype=bool)),
        "## One pass, all layers",
        _chance(short),
    ]
    everything = np.ones(len(short.accuracy), dtype=bool)
    for title, chosen in {
        "64 ... 512 channels: the XPert paper's space": short.wide,
        "16 ... 512 channels: all": everything,
    }.items():
        parts += [f"### {title} ({chosen.sum()} networks)", *_tables(short, left_out, chosen)]
    parts += ["## The shipped predictor", _law(laws), "![Measured accuracy against three predictions](quality.svg)"]
    return "\n\n".join(parts) + "\n"


def _tables(measured: Measurements, left_out: dict[str, Floats], chosen: NDArray[np.bool_]) -> list[str]:
    """How scores and fitted predictors rank some networks, and how well any could."""
    candidates = dict(measured.networks.scores)
    mean_rank = np.mean([rankdata(candidates[name]) for name in COMBINED], axis=0)
    candidates[f"mean rank of {' and '.join(COMBINED)}"] = mean_rank
    single = {name: _agreement(values, measured, chosen) for name, values in candidates.items()}
    fitted = {name: _agreement(values, measured, chosen) for name, values in left_out.items()}
    best, bound = ceiling(measured.accuracy[chosen], chance(*measured.again.T))
    return [
        _table("score", single),
        _table("fitted predictor, on networks left out of the fit", fitted, left_out, measured, chosen),
        f"A score that knew every network's expected accuracy would reach {best} and {bound}.",
        _leads(measured, left_out[SHIPPED["vgg"]], candidates, chosen),
    ]


def _provenance(short: Measurements, long: Measurements, about: dict[str, Any]) -> str:
    def count(measured: Measurements) -> str:
        return f"{len(measured.rows)} trainings of {len(measured.accuracy)} networks"

    def hours(measured: Measurements, machine: str) -> str:
        return f"{sum(row['cpu_seconds'] for row in measured.rows) / 3600:.1f} CPU hours on one thread of {machine}"

    return f"""\
{count(short)} of the VGG16 space see 40 000 training images of CIFAR-10 once ({hours(short, about["short"])});
{count(long)} of the same space with layers left out see them {LONG} times, mirrored and shifted
({hours(long, about["long"])}); torch {about["torch"]}.
The data are `accuracies.jsonl` and `scores.jsonl`, made by

    python -m benchmarks.quality train --data-dir DIR
    python -m benchmarks.quality scores --data-dir DIR

Images are reduced to 16x16 pixels, batches are of 64, weights are float numbers. Accuracy is on the other 10 000
training images; the test images are not used. Figures in brackets are central 95 % bootstrap intervals over
networks."""


def _chance(measured: Measurements) -> str:
    pairs = ", ".join(f"{a:.4f} and {b:.4f}" for a, b in measured.again)
    spread = f"over all networks it spreads by {100 * measured.accuracy.std():.2f} points"
    if 1 < measured.wide.sum() < len(measured.accuracy):
        spread += f", over those of 64 channels and more by {100 * measured.accuracy[measured.wide].std():.2f}"
    return (
        f"{len(measured.again)} networks were trained with a second seed: {pairs}. One training's accuracy varies by "
        f"{100 * chance(*measured.again.T):.2f} points (standard deviation); {spread}."
    )


def _agreement(values: Floats, measured: Measurements, chosen: NDArray[np.bool_]) -> Agreement:
    return agreement(values[chosen], measured.accuracy[chosen], measured.macs[chosen])


def _table(
    title: str,
    rows: dict[str, Agreement],
    predictions: dict[str, Floats] | None = None,
    measured: Measurements | None = None,
    chosen: NDArray[np.bool_] | None = None,
) -> str:
    """Correlations, the best first; with predictions, their errors too."""
    head = [title, "Spearman", "Kendall", "Kendall at equal MACs"]
    lines = []
    for name, row in sorted(rows.items(), key=lambda entry: -entry[1].spearman.value):
        cells = [name, str(row.spearman), str(row.kendall), str(row.kendall_alike)]
        if predictions is not None and measured is not None and chosen is not None:
            errors = (predictions[name] - measured.accuracy)[chosen]
            cells.append(f"{100 * np.sqrt((errors**2).mean()):.2f}")
        lines.append(cells)
    if predictions is not None:
        head.append("error, points")
    return _markdown(head, lines)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def _leads(measured: Measurements, predicted: Floats, candidates: dict[str, Floats], chosen: NDArray[np.bool_]) -> str:
    truth = measured.accuracy[chosen]
    leads = {name: lead(predicted[chosen], values[chosen], truth) for name, values in candidates.items()}
    closest = sorted(leads.items(), key=lambda entry: entry[1].value)
    text = ", ".join(f"{name} {value}" for name, value in closest)
    return f"Spearman correlation of the shipped predictor less that of a score, over the same resamples: {text}."


def _law(laws: dict[str, dict[str, Any]]) -> str:
    lines = [
        [
            name,
            *(" ".join(f"{100 * value:.2f}" for value in law.get(part, ())) for part in ("losses", "absences")),
            f"{law['exponent']:g}",
            f"{100 * law['ceiling']:.2f}",
            f"{100 * law['error']:.2f}",
        ]
        for name, law in laws.items()
    ]
    head = ["backbones", "loss of each layer", "absence of each layer", "exponent", "ceiling", "error, left out"]
    return (
        "accuracy = ceiling - sum over layers of loss * (width / 64) ** -exponent - sum over missing layers of "
        "absence, in points; one loss: of all layers together.\n\n" + _markdown(head, lines)
    )


def _figure(measured: Measurements, predicted: Floats, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    deviation = 100 * chance(*measured.again.T)
    shallow = measured.networks.absent.sum(axis=1) > 3
    panels = {
        "width law, left out [%]": 100 * predicted,
        "NASWOT": measured.networks.scores["naswot"],
        "MACs per image": measured.macs,
    }
    with mpl.rc_context({"svg.hashsalt": "quality", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        for axes, (title, values) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
            for label, chosen, colour in (
                ("up to 3 layers left out", ~shallow, "#0f766e"),
                ("more", shallow, "#b45309"),
            ):
                axes.errorbar(
                    values[chosen],
                    100 * measured.accuracy[chosen],
                    yerr=deviation,
                    fmt="o",
                    markersize=4,
                    linewidth=0.8,
                    color=colour,
                    label=label,
                )
            axes.set_xlabel(title)
            axes.set_title(f"Spearman {spearman(values, measured.accuracy):.2f}")
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylabel("accuracy after four passes [%]")
        figure.axes[0].legend(frameon=False)
        figure.axes[2].set_xscale("log")
        figure.axes[2].set_xticks([2e6, 5e6, 1e7], ["2 M", "5 M", "10 M"])
        figure.axes[2].set_xticks([], minor=True)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
