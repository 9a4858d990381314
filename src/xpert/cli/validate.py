"""`xpert validate`: the hardware model beside reference rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli import output
from xpert.cli.options import Json
from xpert.progress import of_stage

if TYPE_CHECKING:
    from xpert.hardware import Validation


def validate(
    file: Annotated[Path, typer.Argument(metavar="REFERENCE.jsonl.gz", help="Reference rows, gzipped JSON lines.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Largest relative error that passes.")] = 1e-6,
    as_json: Json = False,
) -> int:
    """Run the hardware model on reference rows and compare every output that it computes.

    The model runs in reference mode: as DNN+NeuroSim V1.3 does, faults included. Exit code 1 if an error is beyond the
    tolerance.

    Example: **xpert validate chip.jsonl.gz --tolerance 1e-6**
    """
    from xpert.hardware import validate as validate_rows

    with output.progress() as progress:
        found = validate_rows(file, tolerance, of_stage("validate", progress))
    if as_json:
        output.write_json(found.to_dict())
    else:
        _show_validation(found)
    return 0 if found.passed else 1


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
