"""`xpert accuracy`: accuracy on the non-ideal crossbars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xpert.cli import output
from xpert.cli.interrupts import interrupts_deferred
from xpert.cli.options import (
    Arguments,
    BatchSize,
    CalibrationImages,
    Changes,
    ChipSeed,
    Cluster,
    DataDir,
    DesignSource,
    Device,
    Digital,
    Images,
    InputShape,
    Json,
    MeasuredDesign,
    SampledChips,
    TrainedWeights,
    Workers,
)
from xpert.cli.sources import read_measured
from xpert.errors import ConfigError
from xpert.files import jsonable, write_atomically
from xpert.text import plain_percent, programming_in_words, seconds_of, time_in_words


def accuracy(
    design: MeasuredDesign,
    dataset: Images,
    weights: TrainedWeights = None,
    network: DesignSource = None,
    input_shape: InputShape = None,
    argument: Arguments = None,
    digital: Digital = None,
    data_dir: DataDir = None,
    chips: SampledChips = 5,
    calibration_images: CalibrationImages = 128,
    batch_size: BatchSize = 128,
    seed: ChipSeed = 0,
    images: Annotated[int | None, typer.Option(min=1, help="Only the first so many test images.")] = None,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Also with each effect alone, and with all but that one.")
    ] = False,
    yield_at: Annotated[
        float | None,
        typer.Option(metavar="SHARE", min=0, max=1, help="Also the share of the chips of at least this accuracy."),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(
            metavar="TIME,...",
            help="Also the accuracy at these times after programming, such as 1s,1h,1d,1y (s, min, h, d, y): of cells "
            "that change with time.",
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also each layer's ratio of signal to error.")] = False,
    changes: Changes = None,
    device: Device = "cpu",
    workers: Workers = None,
    cluster: Cluster = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Also write what --json prints. As accuracy.json in a run folder, --ablation is in the run's report.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Accuracy of a trained network: ideal, quantised, and on the non-ideal crossbars of a design.

    Examples: **xpert accuracy runs/quickstart/design.json --weights runs/quickstart/weights.safetensors
    --dataset digits**

    **xpert accuracy design.json --weights w.safetensors --dataset digits --ablation --set ir_drop=true --set
    adc_noise=0.5**

    **xpert accuracy runs/a/design.json --weights runs/a/weights.safetensors --dataset digits --ablation --write
    runs/a/accuracy.json**, then **xpert report runs/a**

    **xpert accuracy design.json --weights w.safetensors --dataset digits --chips 200 --images 100 --yield-at 0.95**

    **xpert accuracy design.json --weights w.safetensors --dataset digits --set device=rram-wan-2022 --times 1s,1d,1y**

    **xpert accuracy my_model.py:Net --weights my.safetensors --dataset cifar10 --set rows=128**
    """
    loaded, own = read_measured(
        design, network, input_shape, argument, weights, dataset, data_dir, digital=digital, changes=changes
    )

    with interrupts_deferred():
        from xpert.experiment.cluster import engine
        from xpert.experiment.measure import accuracy_of_design

    if own is not None and (workers is not None or cluster is not None):
        raise ConfigError("--workers, --cluster: for networks that a design describes, not for those of a SOURCE")
    with output.progress() as progress, engine(workers, cluster) as measuring:
        found = accuracy_of_design(
            loaded,
            weights,
            dataset,
            data_dir,
            network=own,
            seed=seed,
            chips=chips,
            calibration_images=calibration_images,
            batch_size=batch_size,
            images=images,
            each_effect=ablation,
            each_layer=layers,
            yield_at=yield_at,
            times=_times(times),
            device=device,
            progress=progress,
            engine=measuring,
        ).to_dict()
    found["changes"] = changes or []
    if write is not None:
        write_atomically(write, json.dumps(jsonable(found), allow_nan=False) + "\n")
    if as_json:
        output.write_json(found)
        return 0
    _show_accuracy(found, loaded.name, dataset, chips)
    return 0


def _times(text: str | None) -> list[float]:
    """Times in seconds, in order.

    Raises:
        ConfigError: If one of them is no time.
    """
    found = []
    for entry in [] if text is None else text.split(","):
        seconds = seconds_of(entry)
        if seconds is None or seconds > _LATEST:
            raise ConfigError(f"--times: expected TIME,... such as 1s,30min,1h,1d,10y, at most 300 y, got {entry!r}")
        found.append(seconds)
    return sorted(found)


_LATEST = 300 * 365.25 * 86400
"""Within the bounds of `seconds_since_programming`. [s]"""


def _show_accuracy(found: dict[str, Any], name: str, dataset: str, chips: int) -> None:
    rows = [[row, plain_percent(found[key])] for row, key in (("ideal", "ideal"), ("quantised", "quantised"))]
    title = "NI, one chip" if chips == 1 else f"NI, mean of {chips} chips"
    rows.append([title, plain_percent(found["ni_mean"])])
    rows.append(["NI, 95 % confidence", _interval(found)])
    rows.append(["NI, standard deviation", plain_percent(found["ni_std"])])
    title = f"{name}: accuracy on {found['images']} images of {dataset}"
    rows += [
        [f"NI, {_ordinal(one['percent'])} percentile of chips", plain_percent(one["ni"])]
        for one in found.get("percentiles", [])
    ]
    output.show(output.table(title, ["", "accuracy"], rows))
    if "chip_yield" in found:
        output.write(f"Yield: {_yield_in_words(found['chip_yield'], chips)}.\n")
    if "over_time" in found:
        _show_over_time(found["over_time"])
    if "programming" in found:
        output.write(f"Programming the chip: {programming_in_words(found['programming'])}.\n")
    else:
        output.write("Programming the chip: not known, since the device file has no write_pulses or write_pulse_s.\n")
    if "ablation" in found:
        _show_ablation(found)
    if "layers" in found:
        _show_layers(found["layers"])


def _ordinal(percent: float) -> str:
    """`5th`, `1st`."""
    return f"{percent:g}{'st' if percent == 1 else 'th'}"


def _yield_in_words(found: dict[str, Any], chips: int) -> str:
    interval = f"{100 * found['low']:.1f} ... {100 * found['high']:.1f} %"
    return (
        f"{plain_percent(found['share'])} of {chips} chips reach {plain_percent(found['accuracy'])} on these images "
        f"(95 % confidence: {interval})"
    )


def _show_over_time(rows: list[dict[str, Any]]) -> None:
    with_yield = "chip_yield" in rows[0]
    cells = [
        [
            time_in_words(row["seconds"]),
            plain_percent(row["ni_mean"]),
            _interval(row),
            *([plain_percent(row["chip_yield"]["share"])] if with_yield else []),
        ]
        for row in rows
    ]
    header = ["time", "NI, mean", "95 %", *(["yield"] if with_yield else [])]
    output.show(output.table("Accuracy after programming", header, cells))


def _show_ablation(found: dict[str, Any]) -> None:
    rows = [["none: quantised", plain_percent(found["quantised"]), "", "", ""]]
    for row in found["ablation"]:
        figures = [(plain_percent(row[key]["ni_mean"]), _interval(row[key])) for key in ("alone", "without")]
        rows.append([row["effect"].replace("_", " "), *figures[0], *figures[1]])
    rows.append(["all", plain_percent(found["ni_mean"]), _interval(found), "", ""])
    header = ["effect", "with it alone", "95 %", "with all others", "95 %"]
    output.show(output.table("Accuracy by effect", header, rows))


def _show_layers(layers: list[dict[str, Any]]) -> None:
    rows = [
        [
            row["layer"],
            *("exact" if row[key] is None else f"{row[key]:.1f}" for key in ("snr_db", "accumulated_snr_db")),
        ]
        for row in layers
    ]
    output.show(output.table("Signal to error, dB", ["layer", "own", "accumulated"], rows))


def _interval(figures: dict[str, Any]) -> str:
    """A confidence interval, where there is one."""
    if figures["ni_low"] is None:
        return "-"
    return f"{100 * figures['ni_low']:.1f} ... {100 * figures['ni_high']:.1f} %"
