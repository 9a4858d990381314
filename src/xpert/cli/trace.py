"""`xpert trace`: the layers of a network of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.interrupts import interrupts_deferred
from xpert.cli.options import Arguments, Digital, InputShape, Json, SourceWeights
from xpert.cli.sources import image_shape, load_source
from xpert.errors import ConfigError

if TYPE_CHECKING:
    from xpert.design import Network
    from xpert.networks.sources import LoadedNetwork
    from xpert.networks.sources.neurosim import LayerTable


def trace(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The network; see docs/networks.md.")],
    input_shape: InputShape = None,
    argument: Arguments = None,
    digital: Digital = None,
    weights: SourceWeights = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a CSV: a line per layer.")] = None,
    neurosim: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write NeuroSim's NetWork_NAME.csv; with --dataset its traces of weights and inputs, too, of the "
            "first test image, and trace_command.sh.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Data set of the image for --neurosim; see docs/your-data.md."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of data sets, or of this one.")] = None,
    groups: Annotated[
        bool,
        typer.Option("--groups", help="Also which widths a search may choose, what is tied to them, and what stays."),
    ] = False,
    as_json: Json = False,
) -> int:
    """The layers of a network of your own, as a chip sees them.

    SOURCE is **path.py:Name** or **package.module:name** (a class or function, whose code is executed), **timm:NAME**,
    **torchvision:NAME**, an **.onnx** or **.pt2** file, or NeuroSim's **NetWork.csv**.

    Examples: **xpert trace my_model.py:Net --input-shape 3,32,32**

    **xpert trace timm:resnet18 --argument num_classes=10 --csv layers.csv**

    **xpert trace my_model.py:Net --input-shape 3,32,32 --groups**

    **xpert trace net.onnx --neurosim Inference_pytorch --dataset cifar10**
    """
    if dataset is not None and neurosim is None:
        raise ConfigError("--dataset: goes with --neurosim, whose traces are of an image")
    with interrupts_deferred():
        loaded = load_source(
            source, input_shape, argument, weights, image_shape(dataset, data_dir, input_shape), digital
        )
    network = loaded.network()
    found = _groups(loaded) if groups else {}
    rows = [_row(layer) for layer in network.layers]
    if csv is not None:
        output.write_csv(csv, [_flat(row) for row in rows])
    if neurosim is not None:
        _write_neurosim(neurosim, loaded, network, dataset, data_dir)
    if as_json:
        figures = {"macs": network.macs, "weights": sum(layer.weights for layer in network.layers)}
        shape = {"input_shape": network.input_shape, "num_classes": network.num_classes}
        output.write_json({"name": loaded.name, **shape, **figures, "layers": rows, **found})
        return 0
    _show(loaded.name, network.input_shape, rows)
    if groups:
        _show_groups(found)
    return 0


def _groups(loaded: LoadedNetwork | LayerTable) -> dict[str, Any]:
    """The widths of a network, as `--json` has them."""
    from xpert.networks.resizing import Resizable
    from xpert.networks.sources.neurosim import LayerTable

    if isinstance(loaded, LayerTable):
        raise ConfigError(f"--groups: {loaded.name} is a table of layers, no network that could be resized")
    found = Resizable(loaded.module, loaded.input_shape, optional=True)
    widths = [
        {
            "name": decision.name,
            "channels": decision.width,
            "multiple": decision.step,
            "layers": found.layers_of(decision),
            "block": next((block.path for block in found.blocks if block.decision == index), None),
        }
        for index, decision in enumerate(found.decisions)
    ]
    kept = [{"name": name, "channels": width, "why": why} for name, (width, why) in found.kept.items()]
    return {"groups": widths, "kept": kept}


def _show_groups(found: dict[str, Any]) -> None:
    cells = []
    for row in found["groups"]:
        multiple = f"x{row['multiple']}" if row["multiple"] > 1 else ""
        others = [name for name in row["layers"] if name != row["name"]]
        cells.append([row["name"], str(row["channels"]), multiple, ", ".join(others), row["block"] or ""])
    header = ["width", "channels", "whole", "also the width of", "0 leaves out"]
    output.show(output.table(f"{len(cells)} widths that a search may choose", header, cells, left=1))
    if found["kept"]:
        kept = [[row["name"], str(row["channels"]), row["why"]] for row in found["kept"]]
        output.show(output.table("Widths that stay", ["layer", "channels", "because"], kept, left=1))


def _write_neurosim(
    folder: Path, loaded: LoadedNetwork | LayerTable, network: Network, dataset: str | None, data_dir: Path | None
) -> None:
    from xpert.networks.neurosim import BITS, write_layer_table, write_traces
    from xpert.networks.sources.neurosim import LayerTable

    if dataset is None:
        output.note(f"wrote {write_layer_table(folder, loaded.name, network)}")
        return
    if isinstance(loaded, LayerTable) or loaded.untrained is not None:
        raise ConfigError(f"{loaded.name}: {loaded.untrained}")
    from xpert.training import load_dataset
    from xpert.training.source import request_for

    data = load_dataset(request_for(dataset, data_dir, loaded.input_shape))
    if data.input_shape != loaded.input_shape:
        raise ConfigError(
            f"data set {dataset!r} has images of {data.input_shape}; {loaded.name} takes {loaded.input_shape}"
        )
    model = loaded.quantised(data.normalised(data.train_images[:_CALIBRATION_IMAGES]), BITS)
    image = data.normalised(data.test_images[:1])
    output.note(f"wrote {write_traces(folder, loaded.name, network, model, image)}, which runs in {folder}")


_CALIBRATION_IMAGES = 128
"""Training images that show the range of the inputs."""


def _row(layer: Any) -> dict[str, Any]:
    return layer.model_dump() | {
        "out_height": layer.out_height,
        "out_width": layer.out_width,
        "weights": layer.weights,
        "macs": layer.macs,
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A layer as one line: sides as `2x1`, the operations of each kind of digital work that follows as `after.KIND`."""
    line = {key: _sides(value) if isinstance(value, tuple) else value for key, value in row.items() if key != "after"}
    for work in row["after"]:
        key = f"after.{work['kind']}"
        line[key] = line.get(key, 0) + work["operations"]
    return line


def _sides(value: int | tuple[int, ...]) -> str:
    """One number, or one for each side."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _show(name: str, input_shape: tuple[int, ...], rows: list[dict[str, Any]]) -> None:
    cells = [
        [
            row["name"],
            f"{row['kind']}, digital" if row["digital"] else row["kind"],
            f"{row['in_channels']} → {row['out_channels']}",
            f"{row['in_height']}x{row['in_width']}",
            f"{row['kernel_height']}x{row['kernel_width']}",
            _sides(row["stride"]),
            _sides(row["padding"]),
            "" if row["dilation"] == 1 else _sides(row["dilation"]),
            str(row["groups"]),
            str(row["uses"]),
            "" if row["pool"] == 1 else f"{_sides(row['pool'])} {row['pool_kind'] or ''}",
            "relu" if row["relu"] else "",
            "sum" if row["residual"] else "",
            f"{digital:,}" if (digital := sum(work["operations"] for work in row["after"])) else "",
            f"{row['weights']:,}",
            f"{row['macs']:,}",
        ]
        for row in rows
    ]
    total = [sum(row[key] for row in rows) for key in ("weights", "macs")]
    cells.append(["all", *[""] * 13, *(f"{value:,}" for value in total)])
    header = ["layer", "kind", "channels", "map", "kernel", "stride", "padding"]
    header += ["dilation", "groups", "uses", "pool", "", "", "digital", "weights"]
    shape = "x".join(map(str, input_shape))
    output.show(output.table(f"{name}: layers for images of {shape}", [*header, "MACs"], cells, left=3))
