"""Do the published designs survive? `python -m benchmarks.variants [FOLDER] [--out results/variants.md]`.

FOLDER holds ours.json, typical.json, best-homogeneous.json and paper.json; by default results/cifar10/designs. Every
design is evaluated under every variant of the model. The regret of each is against its own network and precisions with
the ADC types and column sharings that are best under the variant.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from xpert.design import Design
from xpert.experiment.variants import variant_rows
from xpert.files import write_atomically
from xpert.hardware.variants import variants_of
from xpert.report import variant_remarks
from xpert.results import VariantRow
from xpert.search.objectives import Goal
from xpert.search.variants import Regret, converter_regrets
from xpert.text import plain_number, plain_percent

DESIGNS = ("ours", "typical", "best-homogeneous", "paper")
"""The first one is what the others are compared with."""

KINDS = [(kind, share) for kind in ("sar", "flash") for share in (2, 4, 8, 16, 32)]
"""ADC types and column sharings of the published searches."""


INTRODUCTION = """\
The designs of [results/cifar10](cifar10/README.md), evaluated again with a part of the model replaced by what it could
be. Regret: by how much a design's EDAP exceeds that of its own network and precisions with the ADC types and column
sharings (SAR or flash, 2 to 32 columns) that are best under the variant. They are found by cost tables and by changing
one layer at a time, so a regret is a lower bound on what is given away."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> str:
    """A Markdown table, the first column words."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|---|" + ("---:|" if numbers else "---|") * (len(header) - 1), *lines[1:]])


def costs(rows: Sequence[VariantRow], field: str) -> list[list[str]]:
    """A figure of every design under every variant."""
    cells = [[row.costs.get(name) for name in DESIGNS] for row in rows]
    return [
        [row.variant, *(plain_number(one and getattr(one, field)) for one in line)]
        for row, line in zip(rows, cells, strict=True)
    ]


def page(folder: Path) -> str:
    """The whole page."""
    designs = {name: Design.read(folder / f"{name}.json") for name in DESIGNS}
    rows = variant_rows(designs)
    asked = variants_of(list(designs.values()))
    regrets: dict[str, dict[str, Regret]] = {
        name: converter_regrets(design, KINDS, Goal("edap"), asked) for name, design in designs.items()
    }
    ours, *others = DESIGNS
    ratios = [
        [
            row.variant,
            *(f"{row.ratios[name]:.3g}" if name in row.ratios else "-" for name in others),
            *(plain_percent(one.regret if (one := regrets[name].get(row.variant)) else None) for name in DESIGNS),
        ]
        for row in rows
    ]
    chosen = [
        [name, " ".join(entry.short(("adc_type", "columns_per_adc")) for entry in regret.design.periphery)]
        for name, regret in regrets[ours].items()
    ]
    remarks = [f"- {words}." for words in variant_remarks(rows)]
    header = ["variant", *(f"EDAP of {name} / ours" for name in others), *(f"regret of {name}" for name in DESIGNS)]
    figures = {
        "edap": "EDAP [uJ us mm2]",
        "area_mm2": "Area [mm2]",
        "latency_us": "Latency [us]",
        "energy_uj": "Energy [uJ]",
    }
    parts = [
        "# The published designs under variants of the model",
        "    python -m benchmarks.variants --out results/variants.md",
        INTRODUCTION,
        table(["variant", "what differs"], [[row.variant, row.text or ""] for row in rows], numbers=False),
        "## What stands between the designs",
        table(header, ratios),
        *(
            part
            for field, title in figures.items()
            for part in (f"## {title}", table(["variant", *DESIGNS], costs(rows, field)))
        ),
        "## What ours would have chosen",
        "ADC type and columns per ADC of each layer, at ours' network and precisions.",
        table(["variant", "layers"], chosen, numbers=False),
        *(["## Beyond a variant's data", "\n".join(remarks)] if remarks else []),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Evaluate, then print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/cifar10/designs"))
    parser.add_argument("--out", type=Path, help="write here instead of printing")
    arguments = parser.parse_args()
    text = page(arguments.folder)
    if arguments.out is None:
        print(text, end="")
    else:
        write_atomically(arguments.out, text)


if __name__ == "__main__":
    main()
