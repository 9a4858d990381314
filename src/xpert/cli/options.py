"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where networks are trained and simulated: cpu, cuda or cuda:N.")]
Processes = Annotated[
    int, typer.Option(help="How many processes train together: one per GPU, or on a share of the cores each.", min=1)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
