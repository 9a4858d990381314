"""`xpert validate`: the hardware model beside reference rows, or beside published macros."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.options import Json
from xpert.errors import ConfigError
from xpert.progress import of_stage

if TYPE_CHECKING:
    from xpert.hardware import Validation


def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[REFERENCE.jsonl.gz]", help="Reference rows, gzipped JSON lines.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest relative error that passes.")] = 1e-6,
    silicon: Annotated[
        bool, typer.Option("--silicon", help="Published macros in the place of reference rows.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Run the hardware model on reference rows and compare every output that it computes.

    The model runs in reference mode: as DNN+NeuroSim V1.3 does, faults included. Exit code 1 if an error is beyond the
    tolerance.

    With --silicon it runs as it does by default, on the published macros that come with it, and shows how far energy
    per operation and density are off.

    Example: **xpert validate chip.jsonl.gz --tolerance 1e-6**
    """
    from xpert.hardware import validate as validate_rows

    if silicon == (file is not None):
        raise ConfigError(
            "give a file of reference rows or --silicon"
            + (", not both: macros come with the package" if silicon else "")
        )
    if file is None:
        return _validate_silicon(as_json)
    with output.progress() as progress:
        found = validate_rows(file, tolerance, of_stage("validate", progress))
    if as_json:
        output.write_json(found.to_dict())
    else:
        _show_validation(found)
    return 0 if found.passed else 1


def _validate_silicon(as_json: bool) -> int:
    from xpert.hardware import validate_silicon

    found = validate_silicon()
    if as_json:
        output.write_json(found.to_dict())
        return 0
    rows = []
    for entry in (comparison.to_dict() for comparison in found.comparisons):
        figures = entry["figures"]
        cells = [_silicon_cells(figures.get(name)) for name in ("energy", "density")]
        rows.append([entry["name"], entry["half"], *cells[0], *cells[1]])
    header = ["macro", "half", "fJ/op", "model", "log2", "TOPS/mm2", "model", "log2"]
    output.show(output.table("Published macros, and the model", header, rows, left=2))
    for comment, names in found.comments.items():
        output.write(f"{'; '.join(names)}: {comment}\n")
    for half, figures in found.medians.items():
        parts = [f"{name} {of.median:.2f} over {of.macros}" for name, of in figures.items()]
        output.write(f"Median |log2(model / published)|, {half}: {', '.join(parts)}\n")
    reasons = sorted({reason for entry in found.comparisons for reason in entry.macro.left_out.values()})
    output.write(f"* does not count: {'; '.join(reasons)}\n")
    output.write("No parameter of the model was fitted to these macros.\n")
    return 0


def _silicon_cells(figure: dict[str, Any] | None) -> list[str]:
    """Published, modelled and log2 of the ratio of a figure; blank where it is not published."""
    if figure is None:
        return ["", "", ""]
    mark = "*" if figure["left_out"] else ""
    return [f"{figure['published']:.3g}", f"{figure['model']:.3g}", f"{figure['log2_ratio']:+.2f}{mark}"]


def _show_validation(found: Validation) -> None:
    rows = [
        [kind, quantity, str(errors.rows), f"{errors.worst:.1e}", f"{errors.median:.1e}"]
        for kind, quantities in found.kinds.items()
        for quantity, errors in quantities.items()
    ]
    if rows:
        header = ["kind", "quantity", "rows", "worst", "median"]
        output.show(output.table("Relative errors", header, rows, left=2))
    if found.not_compared:
        left_out = [
            [entry.kind, entry.quantity or "(all)", entry.reason, str(entry.rows)] for entry in found.not_compared
        ]
        output.show(output.table("Not compared", ["kind", "quantity", "reason", "rows"], left_out, left=3))
    if not found.rows:
        output.write("Nothing was compared.\n")
        return
    verdict = "within" if found.passed else "BEYOND"
    output.write(f"{found.rows} rows compared; worst error {found.worst:.1e}, {verdict} {found.tolerance:g}\n")
