"""`xpert export`: a design in the files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli import output
from xpert.cli.inputs import require_file
from xpert.cli.interrupts import interrupts_deferred
from xpert.cli.options import Arguments, DesignSource, Digital, InputShape
from xpert.cli.sources import read_design_and_network, with_digital
from xpert.errors import ConfigError
from xpert.files import write_atomically

if TYPE_CHECKING:
    from torch import nn

    from xpert.design import Design
    from xpert.export.conductances import LayerCrossbars
    from xpert.networks.sources import LoadedNetwork


def export(
    design: Annotated[
        str,
        typer.Argument(
            metavar="DESIGN.json|CONFIG.yaml|SOURCE", help="A design, a config, or a network (docs/networks.md)."
        ),
    ],
    conductances: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write what each cell of one virtual chip should conduct and does, as .npz and .csv."
        ),
    ] = None,
    spice: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one crossbar as a netlist for ngspice.")
    ] = None,
    zigzag: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Write the chip as an accelerator for ZigZag.")
    ] = None,
    neurosim_summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the costs under the labels of NeuroSim's summary.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="W.safetensors",
            help="The trained weights, for --conductances and --spice; of a source, its own by default.",
        ),
    ] = None,
    network: DesignSource = None,
    input_shape: InputShape = None,
    argument: Arguments = None,
    digital: Digital = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the virtual chips.")] = 0,
    chip: Annotated[int, typer.Option(min=0, max=999, help="Which of them.")] = 0,
    layer: Annotated[str | None, typer.Option(help="Layer of --spice; by default the first.")] = None,
    block: Annotated[int, typer.Option(min=0, help="Row block of --spice.")] = 0,
    group: Annotated[int, typer.Option(min=0, help="Group of --spice.")] = 0,
    crossbar: Annotated[int, typer.Option(min=0, help="Crossbar of --spice, among those side by side.")] = 0,
) -> int:
    """A design for others: to program a real chip, to simulate a circuit, to map onto an architecture.

    See docs/export.md for the files.

    Examples: **xpert export runs/a/design.json --weights runs/a/weights.safetensors --conductances chip0**

    **xpert export runs/a/design.json --weights runs/a/weights.safetensors --spice conv1.sp --layer conv1**

    **xpert export runs/a/design.json --zigzag accelerator.yaml**
    """
    if all(target is None for target in (conductances, spice, zigzag, neurosim_summary)):
        raise ConfigError(
            "nothing to export: give --conductances DIR, --spice FILE, --zigzag FILE.yaml or --neurosim-summary FILE"
        )
    read, own = read_design_and_network(design, network, input_shape, argument, weights, None, None)
    read = with_digital(read, digital)
    if zigzag is not None:
        from xpert.export.zigzag import accelerator

        write_atomically(zigzag, accelerator(read))
        output.note(f"wrote {zigzag}")
    if neurosim_summary is not None:
        from xpert.export.neurosim_summary import neurosim_summary as summary
        from xpert.hardware import evaluate

        figures = evaluate(read).to_dict()
        write_atomically(neurosim_summary, summary(figures, pipelined=read.chip.execution == "pipelined"))
        output.note(f"wrote {neurosim_summary}")
    if conductances is None and spice is None:
        return 0
    if weights is not None:
        require_file(weights, "weight file")
    with interrupts_deferred():
        from xpert.export.conductances import crossbars_of, write_conductances

    model = _model(read, own, weights)
    if conductances is not None:
        output.note(f"wrote {write_conductances(conductances, model, read, seed=seed, chip=chip)}")
    if spice is not None:
        found = {one.layer: one for one in crossbars_of(model, read, seed=seed, chip=chip)}
        name = next(iter(found)) if layer is None else layer
        if name not in found:
            raise ConfigError(f"--layer: must be one of {', '.join(found)}, got {name!r}")
        write_atomically(spice, _netlist(read, found[name], (block, group, crossbar)))
        output.note(f"wrote {spice}")
    return 0


def _model(design: Design, own: LoadedNetwork | None, weights: Path | None) -> nn.Module:
    """The design's network with its weights, quantised."""
    import torch

    from xpert.experiment.models import model_of_design

    if own is not None and design.network.source is None and own.untrained is not None:
        raise ConfigError(f"{own.name}: {own.untrained}")
    # They set ranges of inputs, and those are in no file.
    images = torch.rand(2, *design.network.input_shape, generator=torch.Generator().manual_seed(0))
    return model_of_design(design, weights, own, images)


def _netlist(design: Design, found: LayerCrossbars, place: tuple[int, int, int]) -> str:
    """The netlist of one crossbar, all rows driven at the read voltage."""
    import numpy as np

    from xpert.analog.ir_drop import Wires
    from xpert.export.spice import netlist

    for flag, index, count in zip(("block", "group", "crossbar"), place, found.simulated.shape, strict=False):
        if index >= count:
            raise ConfigError(f"--{flag}: {found.layer} has {count} of them, 0 ... {count - 1}, got {index}")
    cells = found.simulated[place]
    cells = cells[~np.isnan(cells).all(axis=1)]
    title = f"{design.name}, {found.layer}, block {place[0]}, group {place[1]}, crossbar {place[2]}"
    return netlist(cells, Wires.of(design.chip), [design.chip.device.read_voltage_v] * len(cells), title)
