"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where networks are trained and simulated: cpu, cuda or cuda:N.")]
Workers = Annotated[
    int | None,
    typer.Option(help="Measure with so many worker processes on this machine (docs/cluster.md).", min=1, max=1024),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS|FILE.json", help="Measure with the workers of a running dask scheduler."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
InputShape = Annotated[
    str | None,
    typer.Option(metavar="C,H,W", help="Channels, height and width of an image, where the source does not say it."),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Argument of the source's class or function; repeat for more."),
]
SourceWeights = Annotated[
    Path | None,
    typer.Option(metavar="W.safetensors", help="Weights, safetensors or a state dict; else the source's own."),
]
Digital = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Keep layers of such names off the crossbars (`conv1`, `*.depthwise`); repeat for more.",
    ),
]
DesignSource = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE", help="The network of a DESIGN.json whose backbone is `custom`, which it does not hold itself."
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set a field of the periphery or the chip, as with `evaluate --sweep`: adc_bits, programming_sigma, "
        "ir_drop, device, ...; repeat for more.",
    ),
]

# What accuracies are measured of, and on.
MeasuredDesign = Annotated[
    str, typer.Argument(metavar="DESIGN.json|SOURCE", help="A design, or a network (docs/networks.md).")
]
Images = Annotated[
    str, typer.Option(metavar="NAME", help="Data set of the images, or code that makes it; see docs/your-data.md.")
]
TrainedWeights = Annotated[
    Path | None, typer.Option(metavar="W.safetensors", help="The trained weights; of a source, its own by default.")
]
DataDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of data sets, or of this one.")]
SampledChips = Annotated[int, typer.Option(min=1, max=1000, help="Draws of the cells' variation to average over.")]
CalibrationImages = Annotated[
    int,
    typer.Option(min=1, max=100_000, help="Training images on which ADC ranges are set, and batch norms measured."),
]
BatchSize = Annotated[int, typer.Option(min=1, max=65536, help="Images at a time on each chip.")]
ChipSeed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the cells' variation.")]
