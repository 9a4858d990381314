"""The model beside published macros, as a page: `python -m benchmarks.silicon [--page results/silicon.md]`.

Figures are those of `xpert validate --silicon`; the page adds where they come from, what was assumed of each macro, the
table's own checks, and why outliers are.
"""

from __future__ import annotations

import argparse
import textwrap
from datetime import date
from pathlib import Path

from xpert.files import write_atomically
from xpert.hardware.silicon.compare import HALVES, OUTLIER, UNITS, Comparison, SiliconValidation, validate_silicon
from xpert.hardware.silicon.table import CHECKS, read_table
from xpert.machine import cores, cpu_name

PAGE = Path(__file__).parents[1] / "results" / "silicon.md"
_WIDTH = 140


def page(found: SiliconValidation) -> str:
    """The page of results."""
    rows = read_table()
    complete = [row for row in rows if not row.missing]
    return "\n".join(
        [
            "# The hardware model and published macros\n",
            "    python -m benchmarks.silicon\n",
            _paragraph(
                f"Date {date.today().isoformat()}. Machine: {cores()} cores, {cpu_name()}; no random numbers. The "
                "model runs with its defaults (`PHYSICAL` switches, calibrated, 300 K, LSTP transistors). Compared is "
                "one crossbar with its periphery, reading one group of rows: energy per operation (half a "
                "multiply-accumulate at the macro's precisions), and operations per time and area. `log2` is "
                "log2(model / published): +1 is twice too much."
            ),
            _paragraph(
                f"{len(complete)} of the {len(rows)} non-volatile rows of UIUC's benchmarking table (N. R. Shanbhag, "
                "S. K. Roy, H.-M. Ou, MIT licence) are complete, and all of these can be written as a design; six more "
                "macros have a file of their own ([macros.md](macros.md)). Macros fall into halves by a hash of their "
                "paper, so that rows of one paper stay together. **No parameter of the model was fitted to them.**"
            ),
            *_medians(found),
            "| macro | half | fJ/op | model | log2 | TOPS/mm2 | model | log2 |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
            *(_line(entry) for entry in found.comparisons),
            "",
            _paragraph("*: does not count in medians. " + "; ".join(_left_out(found)) + "."),
            "## Outliers\n",
            f"Macros with a figure beyond a factor of {2**OUTLIER:g} either way, and why.\n",
            *(_paragraph(f"**{'; '.join(names)}.** {comment}") for comment, names in found.comments.items()),
            "## Assumed\n",
            _paragraph(
                "Where the table does not say: inputs of which half of the bits are ones, SAR ADCs, cells of 4 x 12 F "
                "or as wide as their access transistor needs, level shifters for a write of 2 V. None of the "
                "resistances is known here with certainty from the papers."
            ),
            *(f"- {entry.macro.name}: {entry.macro.assumed}" for entry in found.comparisons),
            "",
            "## The table's own arithmetic\n",
            _paragraph(
                "All its figures of merit are multiplied by both precisions; that is undone. A row breaks a rule if it "
                "is off by more than 5 % and the rounding of what is printed. Figures of a row that breaks a rule of "
                "theirs do not count."
            ),
            "| rule | figure | rows that break it |",
            "|---|---|---|",
            *(
                f"| {check.statement} | {check.figure or 'neither'} | "
                f"{', '.join(row.key for row in rows if name in row.broken) or 'none'} |"
                for name, check in CHECKS.items()
            ),
            "",
        ]
    )


def _medians(found: SiliconValidation) -> list[str]:
    lines = [
        "| median of abs(log2) | energy per operation | density |",
        "|---|---:|---:|",
    ]
    for half in HALVES:
        figures = found.medians[half]
        cells = (f"{of.median:.2f} over {of.macros}, worst {of.worst:.1f}" for of in figures.values())
        lines.append(f"| {half} | {' | '.join(cells)} |")
    cells = (f"{left:.2f} (factor {2**shift:.2f})" for shift, left in found.fitted.values())
    lines.append(f"| held out, with a factor fitted to the other half | {' | '.join(cells)} |")
    held_out = found.medians[HALVES[1]]
    reached = {name: of.median <= 1 for name, of in held_out.items()}
    missed = " and ".join(name for name, done in reached.items() if not done)
    verdict = f"The goal, at most 1 on the held-out half, is missed for {missed}." if missed else "The goal is met."
    better = [name for name, (_, left) in found.fitted.items() if left < held_out[name].median]
    factors = (
        f"A factor would help {' and '.join(better)}; it is not applied, since nothing else asks for it."
        if better
        else "A factor on either figure, fitted to the fitting half, makes the held-out half worse: it is not applied."
    )
    return [*lines, "", _paragraph(f"{verdict} {factors}")]


def _line(entry: Comparison) -> str:
    cells = []
    for name in UNITS:
        if name not in entry.macro.published:
            cells += ["", "", ""]
            continue
        unit, mark = UNITS[name][1], "\\*" if name in entry.macro.left_out else ""
        published, model = entry.macro.published[name] * unit, entry.figures.figure(name) * unit
        cells += [f"{published:.3g}", f"{model:.3g}", f"{entry.doublings[name]:+.2f}{mark}"]
    return f"| {entry.macro.name} | {entry.macro.half} | {' | '.join(cells)} |"


def _left_out(found: SiliconValidation) -> list[str]:
    return [
        f"{entry.macro.name}, {' and '.join(name for name in entry.macro.left_out if name in entry.macro.published)}: "
        f"{next(iter(entry.macro.left_out.values()))}"
        for entry in found.comparisons
        if entry.macro.left_out
    ]


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def main() -> None:
    """Compare and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    arguments = parser.parse_args()
    write_atomically(arguments.page, page(validate_silicon()))
    print(f"wrote {arguments.page}")


if __name__ == "__main__":
    main()
