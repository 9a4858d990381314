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

from benchmarks.quality.predictors import PREDICTORS, STAGES, Floats, Networks, Predictor
from benchmarks.quality.statistics import Agreement, agreement, ceiling, chance, kendall, lead, spearman
from xpert.files import write_atomically

WIDTH_LAW = Path(__file__).parents[2] / "src" / "xpert" / "search" / "width_law.json"
SHIPPED = {"vgg": "width law", "any": "width law, one loss"}
"""Predictors that are shipped: for VGG networks, and for backbones that were not measured."""

WIDE = 64
"""Narrowest layer of the space of the XPert paper."""

COMBINED = ("naswot", "synflow")
"""Scores whose mean rank is tried as a combination without a fit."""


@dataclass(frozen=True)
class Measurements:
    """Networks that were trained once with the small budget and seed 0, and what else was measured."""

    networks: Networks
    accuracy: Floats
    """On images held back from training, [networks]."""

    cross_entropy: Floats
    """Likewise. [nat]"""

    macs: Floats
    """Per image, [networks]."""

    again: Floats
    """Accuracies of the networks that were trained with two seeds, [networks, 2]."""

    longer: list[dict[str, Any]]
    """Trainings with a larger budget."""

    rows: list[dict[str, Any]]
    """All trainings."""

    @property
    def wide(self) -> NDArray[np.bool_]:
        """Which networks are of the space of the XPert paper."""
        return self.networks.widths.min(axis=1) >= WIDE


def read(folder: Path) -> Measurements:
    """The measurements in a folder."""
    rows = _lines(folder / "accuracies.jsonl")
    scores = {tuple(row["widths"]): row["scores"] for row in _lines(folder / "scores.jsonl")}
    first = {tuple(row["widths"]): row for row in rows if row["seed"] == 0 and row["epochs"] == 1}
    second = {tuple(row["widths"]): row for row in rows if row["seed"] == 1 and row["epochs"] == 1}
    names = next(iter(scores.values()))
    networks = Networks(
        np.array(list(first), dtype=np.float64),
        {name: np.array([scores[widths][name] for widths in first]) for name in names},
    )
    return Measurements(
        networks,
        *(np.array([row[key] for row in first.values()]) for key in ("accuracy", "cross_entropy")),
        macs=np.array([row["macs"] for row in first.values()], dtype=np.float64),
        again=np.array([[first[key]["accuracy"], row["accuracy"]] for key, row in second.items() if key in first]),
        longer=[row for row in rows if row["epochs"] > 1],
        rows=rows,
    )


def width_law(measured: Measurements, predictor: Predictor, left_out: Floats) -> dict[str, Any]:
    """The shipped form of a predictor that is fitted to all networks."""
    fit = predictor.fit(measured.networks, measured.accuracy)
    widths = measured.networks.widths
    losses = fit.coefficients
    if len(losses) > 1:
        losses = (losses / np.bincount(STAGES))[STAGES]
    return {
        "losses": [float(f"{loss:.4g}") for loss in losses],
        "exponent": fit.exponent,
        "ceiling": float(f"{fit.constant:.4g}"),
        "networks": len(widths),
        "least_width": int(widths.min()),
        "largest_width": int(widths.max()),
        "error": float(f"{np.sqrt(((left_out - measured.accuracy) ** 2).mean()):.2g}"),
        "spearman": float(f"{spearman(left_out, measured.accuracy):.3g}"),
    }


def write(folder: Path) -> None:
    """Write the page, the figure and the shipped predictor."""
    measured = read(folder)
    left_out = {predictor.name: predictor.left_out(measured.networks, measured.accuracy) for predictor in PREDICTORS}
    laws = {
        name: width_law(measured, next(p for p in PREDICTORS if p.name == shipped), left_out[shipped])
        for name, shipped in SHIPPED.items()
    }
    write_atomically(WIDTH_LAW, json.dumps(laws, indent=1) + "\n")
    write_atomically(
        folder / "README.md", _page(measured, left_out, laws, json.loads((folder / "about.json").read_text()))
    )
    _figure(measured, left_out[SHIPPED["vgg"]], folder / "quality.svg")
    print(f"{folder / 'README.md'}\n{folder / 'quality.svg'}\n{WIDTH_LAW}")


def _page(
    measured: Measurements, left_out: dict[str, Floats], laws: dict[str, dict[str, Any]], about: dict[str, Any]
) -> str:
    everything = np.ones(len(measured.accuracy), dtype=bool)
    candidates = dict(measured.networks.scores)
    mean_rank = np.mean([rankdata(candidates[name]) for name in COMBINED], axis=0)
    candidates[f"mean rank of {' and '.join(COMBINED)}"] = mean_rank
    deviation = chance(*measured.again.T)
    parts = [
        "# What predicts accuracy",
        "    python -m benchmarks.quality tables",
        _provenance(measured, about),
        "## Chance",
        _chance(measured, deviation),
    ]
    spaces = {"64 ... 512 channels: the XPert paper's space": measured.wide, "16 ... 512 channels: all": everything}
    for title, chosen in spaces.items():
        single = {name: _agreement(values, measured, chosen) for name, values in candidates.items()}
        fitted = {name: _agreement(values, measured, chosen) for name, values in left_out.items()}
        best, bound = ceiling(measured.accuracy[chosen], deviation)
        parts += [
            f"## {title} ({chosen.sum()} networks)",
            _table("score", single),
            _table("fitted predictor, on networks left out of the fit", fitted, left_out, measured, chosen),
            f"A score that knew every network's expected accuracy would reach {best} and {bound}.",
            _leads(measured, left_out[SHIPPED["vgg"]], candidates, chosen),
        ]
    parts += ["## The shipped predictor", _law(laws)]
    if measured.longer:
        parts += ["## Four times the budget", _longer(measured, left_out[SHIPPED["vgg"]])]
    parts += ["![Measured accuracy against three predictions](quality.svg)"]
    return "\n\n".join(parts) + "\n"


def _provenance(measured: Measurements, about: dict[str, Any]) -> str:
    hours = sum(row["cpu_seconds"] for row in measured.rows) / 3600
    return f"""\
{len(measured.rows)} trainings of {len(measured.accuracy)} networks of the VGG16 space, {hours:.1f} CPU hours on one
thread, {about["date"]}; machine: {about["machine"]}; torch {about["torch"]}. The data are `accuracies.jsonl` and
`scores.jsonl`, made by

    python -m benchmarks.quality train --data-dir DIR
    python -m benchmarks.quality scores --data-dir DIR

Every network sees 40 000 training images of CIFAR-10 once, reduced to 16x16 pixels, in batches of 64; its weights are
float numbers. Accuracy is on the other 10 000 training images; the test images are not used. Figures in brackets are
central 95 % bootstrap intervals over networks."""


def _chance(measured: Measurements, deviation: float) -> str:
    pairs = ", ".join(f"{a:.4f} and {b:.4f}" for a, b in measured.again)
    return (
        f"{len(measured.again)} networks were trained with a second seed: {pairs}. One training's accuracy strays by "
        f"{100 * deviation:.2f} points (standard deviation); over all networks it spreads by "
        f"{100 * measured.accuracy.std():.2f} points, over those of 64 channels and more by "
        f"{100 * measured.accuracy[measured.wide].std():.2f}."
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
            " ".join(f"{100 * loss:.2f}" for loss in law["losses"]),
            f"{law['exponent']:g}",
            f"{100 * law['ceiling']:.2f}",
            f"{100 * law['error']:.2f}",
        ]
        for name, law in laws.items()
    ]
    return (
        "accuracy = ceiling - sum over layers of loss * (width / 64) ** -exponent, in points; one loss: of all layers "
        "together.\n\n"
        + _markdown(["backbones", "loss of each layer", "exponent", "ceiling", "error, left out"], lines)
    )


def _longer(measured: Measurements, predicted: Floats) -> str:
    index = {tuple(widths): row for row, widths in enumerate(measured.networks.widths.astype(int).tolist())}
    rows = [row for row in measured.longer if tuple(row["widths"]) in index]
    short = np.array([measured.accuracy[index[tuple(row["widths"])]] for row in rows])
    law = np.array([predicted[index[tuple(row["widths"])]] for row in rows])
    long = np.array([row["accuracy"] for row in rows])
    lines = [
        [" ".join(map(str, row["widths"])), f"{a:.4f}", f"{p:.4f}", f"{b:.4f}"]
        for row, a, p, b in zip(rows, short, law, long, strict=True)
    ]
    text = f"{len(rows)} of the networks saw the images four times."
    if len(rows) > 2:
        text += (
            f" Rank correlation with the accuracy after one pass: Spearman {spearman(short, long):.2f}, Kendall "
            f"{kendall(short, long):.2f}; with the shipped predictor (left out): {spearman(law, long):.2f}, "
            f"{kendall(law, long):.2f}."
        )
    return text + "\n\n" + _markdown(["widths", "one pass", "predicted", "four passes"], lines)


def _figure(measured: Measurements, predicted: Floats, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    deviation = 100 * chance(*measured.again.T)
    panels = {
        "width law, left out [%]": 100 * predicted,
        "NASWOT": measured.networks.scores["naswot"],
        "MACs per image": measured.macs,
    }
    with mpl.rc_context({"svg.hashsalt": "quality", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        for axes, (title, values) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
            for label, chosen, colour in (
                ("64 ... 512 channels", measured.wide, "#0f766e"),
                ("narrower", ~measured.wide, "#b45309"),
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
        figure.axes[0].set_ylabel("accuracy after one pass [%]")
        figure.axes[0].legend(frameon=False)
        figure.axes[2].set_xscale("log")
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
