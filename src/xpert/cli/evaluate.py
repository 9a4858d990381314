"""`xpert evaluate`: what a design costs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xpert.cli import output
from xpert.cli.evaluation import HEADLINE, TITLES, flat, show_evaluation, show_variants
from xpert.cli.inputs import require_file
from xpert.cli.interrupts import interrupts_deferred
from xpert.cli.options import Arguments, Cluster, DataDir, DesignSource, Digital, InputShape, Json, Workers
from xpert.cli.sources import read_design_and_network, with_digital
from xpert.errors import ConfigError
from xpert.files import write_atomically
from xpert.progress import Progress
from xpert.text import plain_number, programming_in_words

if TYPE_CHECKING:
    from xpert.design import Design
    from xpert.results import VariantRow


def evaluate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="DESIGN.json|CONFIG.yaml|SOURCE", help="A design, a config, or a network (docs/networks.md)."
        ),
    ],
    as_json: Json = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a CSV: a line per layer, or per design of a sweep.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Evaluate with each of these values; repeat for all combinations. Names: those of a layer's periphery "
            "(set in all layers) and of the chip, such as rows, cell_bits, node_nm or device.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="W.safetensors",
            help="Measure the layers' activity on these trained weights instead of assuming it; needs --dataset. Of a "
            "source, its own weights by default.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Data set of the images for --weights; see docs/your-data.md."),
    ] = None,
    network: DesignSource = None,
    input_shape: InputShape = None,
    argument: Arguments = None,
    digital: Digital = None,
    data_dir: DataDir = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DESIGN.json", help="Also write the design, measured activity included.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="CHIP.svg", help="Also draw the chip's floorplan, to scale.")
    ] = None,
    variants: Annotated[
        bool,
        typer.Option(
            "--variants",
            help="Also evaluate under variants of the model: ADC energy and area over and times 5, published ADCs, and "
            "more (docs/hardware-model.md).",
        ),
    ] = False,
    switches: Annotated[
        Literal["physical", "reference"],
        typer.Option(help="Physically right, or as DNN+NeuroSim V1.3 does, faults included."),
    ] = "physical",
    workers: Workers = None,
    cluster: Cluster = None,
) -> int:
    """Area, latency, energy, EDAP, TOPS/W and TOPS/mm² of a design, by component and by layer.

    Of a config, the typical homogeneous design is evaluated: the unsearched backbone on the config's chip, with the
    periphery of `baselines.typical` in every layer. So is a network of your own, on the default chip unless --sweep
    says otherwise.

    Examples: **xpert evaluate runs/quickstart/design.json**

    **xpert evaluate runs/quickstart/design.json --variants**

    **xpert evaluate config.yaml --sweep adc_type=sar,flash --sweep columns_per_adc=2,4,8,16,32**

    **xpert evaluate design.json --weights weights.safetensors --dataset digits --draw chip.svg**

    **xpert evaluate my_model.py:Net --input-shape 3,32,32 --sweep rows=64,128**

    **xpert evaluate timm:mobilenetv3_small_100 --digital conv_stem --digital "*.conv_dw"**
    """
    if weights is not None and dataset is None:
        raise ConfigError("--weights and --dataset go together: activity is measured on weights with images")
    if not sweep and (workers is not None or cluster is not None):
        raise ConfigError("--workers, --cluster: for --sweep; one design takes no time")
    if sweep and draw is not None:
        raise ConfigError("--draw: draws one chip; leave out --sweep")
    if sweep and variants:
        raise ConfigError("--variants: of one design; leave out --sweep")
    design, loaded = read_design_and_network(what, network, input_shape, argument, weights, dataset, data_dir)
    design = with_digital(design, digital)
    if dataset is not None:
        if weights is not None:
            require_file(weights, "weight file")
        elif loaded is None:
            raise ConfigError("--weights and --dataset go together: activity is measured on weights with images")
        with interrupts_deferred():
            from xpert.experiment.measure import activity_of_design
        design = activity_of_design(design, weights, dataset, data_dir, network=loaded)
    if write is not None:
        design.write(write)

    from xpert.cli.values import parse_sweeps, swept

    designs = swept(design, parse_sweeps(sweep)) if sweep else []

    if designs:
        _evaluate_sweep(design.name, designs, switches, csv, as_json, workers, cluster)
    else:
        _evaluate_one(design, switches, csv, draw, as_json, variants)
    return 0


def _evaluate_one(
    design: Design, switches: str, csv: Path | None, draw: Path | None, as_json: bool, variants: bool
) -> None:
    from xpert.hardware import evaluate
    from xpert.hardware.programming import programming_cost
    from xpert.hardware.switches import SWITCHES

    figures = evaluate(design, SWITCHES[switches]).to_dict()
    with contextlib.suppress(ConfigError):  # a device without write figures
        figures["programming"] = programming_cost(design).to_dict()
    if csv is not None:
        output.write_csv(csv, [flat(layer) for layer in figures["layers"]])
    if draw is not None:
        from xpert.report import chip_svg

        write_atomically(draw, chip_svg(figures))
    rows: tuple[VariantRow, ...] = ()
    if variants:
        from xpert.experiment.variants import variant_rows

        rows = variant_rows({"design": design})
        figures["variants"] = [row.to_dict() for row in rows]
    if as_json:
        output.write_json(figures)
    else:
        show_evaluation(figures)
        if "programming" in figures:
            output.write(f"Programming the chip: {programming_in_words(figures['programming'])}.\n")
        if rows:
            show_variants(rows)


_DESIGNS_A_TASK = 16
"""Some 0.2 s of work."""


def _figures(designs: list[dict[str, Any]], switches: str) -> list[dict[str, Any]]:
    """Headline figures of designs that are given as plain data: a task."""
    from xpert.design import Design
    from xpert.hardware import evaluate
    from xpert.hardware.switches import SWITCHES

    costs = (evaluate(Design.parse(one), SWITCHES[switches]).to_dict() for one in designs)
    return [{key: one[key] for key in HEADLINE} for one in costs]


def _evaluate_sweep(
    name: str,
    variants: Sequence[tuple[dict[str, Any], Design]],
    switches: str,
    csv: Path | None,
    as_json: bool,
    workers: int | None,
    cluster: str | None,
) -> None:
    from xpert.experiment.cluster import engine

    rows: list[dict[str, Any]] = [{} for _ in variants]
    starts = range(0, len(variants), _DESIGNS_A_TASK)
    parts = [variants[start : start + _DESIGNS_A_TASK] for start in starts]
    done = 0
    with output.progress() as progress, engine(workers, cluster) as evaluating:
        tasks = (([variant.model_dump(mode="json") for _, variant in part], switches) for part in parts)
        for number, found in evaluating.results(_figures, tasks):
            for place, figures in enumerate(found):
                rows[starts[number] + place] = parts[number][place][0] | figures
            done += len(found)
            if progress:
                progress(Progress(stage="sweep", unit="design", done=done, total=len(variants)))
    if csv is not None:
        output.write_csv(csv, rows)
    if as_json:
        output.write_json({"name": name, "sweep": rows})
    else:
        names = list(variants[0][0])
        cells = [[*(str(row[name]) for name in names), *(plain_number(row[key]) for key in HEADLINE)] for row in rows]
        output.show(output.table(name, [*names, *TITLES], cells, left=len(names)))
