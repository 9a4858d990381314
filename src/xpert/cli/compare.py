"""`xpert compare`: designs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli import output
from xpert.cli.evaluation import HEADLINE
from xpert.cli.inputs import designs_of, read_design
from xpert.cli.options import Json
from xpert.errors import ConfigError

if TYPE_CHECKING:
    from xpert.design import Design
    from xpert.results import FactorShare


def compare(
    files: Annotated[list[Path], typer.Argument(metavar="A.json B.json ...", help="Designs, configs or run folders.")],
    factors: Annotated[
        bool, typer.Option("--factors", help="Of two designs: what their ratio is made of, by Shapley shares.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Designs side by side, with ratios to the first: an energy ratio of 0.5 is half the first design's energy.

    A run folder stands for its searched design and for the same network with the best single periphery.

    Example: **xpert compare runs/a/design.json runs/b/design.json**
    """
    files = [file for path in files for file in designs_of(path)]
    if factors and len(files) != 2:
        raise ConfigError(f"compare: --factors needs two designs, got {len(files)}")
    if len(files) < 2:
        raise ConfigError(f"compare: needs at least two designs, got {len(files)}")
    designs = [read_design(file) for file in files]
    for file, design in zip(files[1:], designs[1:], strict=True):
        if (design.activity is None) != (designs[0].activity is None):
            measured, assumed = (file, files[0]) if design.activity is not None else (files[0], file)
            raise ConfigError(
                f"compare: {measured} has measured activity and {assumed} has not, so energies are not comparable; "
                "measure all of them (xpert evaluate --weights W --dataset NAME --write FILE) or none"
            )

    from xpert.hardware import evaluate

    figures = [evaluate(design).to_dict() for design in designs]
    shares = _shares(*designs) if factors else []
    if as_json:
        headlines = [{key: entry[key] for key in HEADLINE} for entry in figures]
        output.write_json(
            {
                "designs": [
                    {"file": str(file), "name": entry["name"]} | headline
                    for file, entry, headline in zip(files, figures, headlines, strict=True)
                ],
                "ratios": [{key: entry[key] / headlines[0][key] for key in HEADLINE} for entry in headlines],
            }
            | ({"factors": [one.to_dict() for one in shares]} if factors else {})
        )
    else:
        from xpert.report import comparison_table, factor_table

        output.show(comparison_table(figures, [entry["name"] for entry in figures]))
        if factors:
            output.write("How many times lower each quantity of the second is, factor by factor (Shapley shares)\n")
            output.show(factor_table(shares))
    return 0


def _shares(before: Design, after: Design) -> list[FactorShare]:
    from xpert.results import FactorShare
    from xpert.search.factors import factors

    return [FactorShare.parse(one.to_dict()) for one in factors(before, after)]
