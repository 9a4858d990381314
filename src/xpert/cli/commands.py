"""The commands of `xpert`. Each imports what it needs when it runs, so that help and `evaluate` start fast."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xpert import __version__
from xpert.cli import output
from xpert.cli.evaluation import HEADLINE, TITLES, flat, show_evaluation
from xpert.cli.interrupts import patience
from xpert.errors import ConfigError, DataError, XpertError
from xpert.files import jsonable, write_atomically

if TYPE_CHECKING:
    from xpert.design import Design
    from xpert.hardware import Validation

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


class _Interrupted(Exception):
    """Ctrl-C in a command that can say how to go on; typer would drop the words from a KeyboardInterrupt."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; see `xpert.cli.main`.

    Raises:
        KeyboardInterrupt: On Ctrl-C; its argument, if any, says how to go on.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows a substitute for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="xpert", standalone_mode=False)
    except XpertError as error:
        output.fail(str(error))
        return 2
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        see = f" (see {context.command_path} --help)" if context else ""
        output.fail(error.format_message().replace("Value error, ", "").rstrip(".") + see)
        return 2
    except OSError as error:
        output.discard_stdout()
        output.fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return 2
    except _Interrupted as interruption:
        raise KeyboardInterrupt(*interruption.args) from None
    except SystemExit:  # typer's answer to a reader of the help that has gone
        return 0
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return code or 0


_INTERRUPTED = 130
"""What typer makes of Ctrl-C; no command returns it."""


def _version(wanted: bool) -> None:
    if wanted:
        output.write(f"xpert {__version__}\n")
        raise typer.Exit


@app.callback()
def xpert(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Co-search of neural networks and the periphery of the in-memory-computing chips that run them.

    Start with **xpert init**, or with **xpert search --preset quickstart --out runs/quickstart**.
    """


Device = Annotated[str, typer.Option(help="Where networks are trained and simulated: cpu, cuda or cuda:N.")]
Processes = Annotated[
    int, typer.Option(help="How many processes train together: one per GPU, or on a share of the cores each.", min=1)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def search(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG.yaml", help="What to search.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; new or empty, unless with --resume.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="A shipped config instead of a file; `xpert presets` lists them.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in this folder, or start it where there is none.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the config's.", min=0, max=2**32 - 1)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, instead of the config's.")] = None,
    stop_after: Annotated[
        str | None,
        typer.Option(help="Stop after this stage: architecture, training, baseline, precision or evaluation."),
    ] = None,
    device: Device = "cpu",
    processes: Processes = 1,
    as_json: Json = False,
) -> int:
    """Search network and periphery together, train, evaluate, report: the main job.

    Everything goes into the run folder. A run that was killed goes on with --resume to the same design.

    Example: **xpert search --preset quickstart --out runs/quickstart**
    """
    from xpert.design import read_mapping
    from xpert.experiment import SearchConfig, load_preset, read_config

    if out is None:
        raise ConfigError("--out: required: the run folder, for example --out runs/first")
    if config is not None and preset is not None:
        raise ConfigError(f"give a config file or --preset, not both (got {config} and --preset {preset})")
    if config is not None:
        chosen = SearchConfig.read(config)
    elif preset is not None:
        chosen = load_preset(preset)
    elif resume:
        chosen = read_config(out)
    else:
        raise ConfigError("nothing to search: give a config file, or --preset NAME (`xpert presets` lists them)")
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if data_dir is not None:
        changes["dataset"] = chosen.dataset.replace(data_dir=str(data_dir))
    chosen = chosen.replace(**changes)

    try:
        with patience():
            from xpert.experiment.pipeline import run_search

        with output.progress() as progress:
            run_search(
                chosen,
                out,
                resume=resume,
                stop_after=stop_after,
                device=device,
                processes=processes,
                command=["xpert", *sys.argv[1:]],
                progress=progress,
            )
    except KeyboardInterrupt:
        if not (out / "config.yaml").exists():
            raise
        raise _Interrupted(f"go on with: xpert search --out {shlex.quote(str(out))} --resume") from None
    results = out / "results.json"
    if stop_after is not None and not results.exists():
        if as_json:
            found = read_mapping(out / "state" / f"{stop_after}.json", "stage result")
            output.write_json({"run": str(out), "stopped_after": stop_after, stop_after: found})
        else:
            _show_architecture(out)
            output.write(f"Stopped after {stop_after}; go on with --resume.\nReport: {out / 'report.html'}\n")
        return 0
    found = read_mapping(results, "results file")
    if as_json:
        output.write_json(found)
    else:
        from xpert.report import summary_table

        output.show(summary_table(found))
        output.write(f"Report: {out / 'report.html'}\n")
    return 0


def _show_architecture(run: Path) -> None:
    """What phase 1 of an unfinished run found."""
    from xpert.report import architecture_tables, architecture_text
    from xpert.report.run_files import read_run

    files = read_run(run)
    if files.results.architecture and files.design:
        for table in architecture_tables(files.results.architecture, files.design):
            output.show(table)
        output.write(f"{architecture_text(files.results.architecture)}\n")


@app.command()
def reproduce(
    experiment: Annotated[
        str, typer.Argument(metavar="NAME|FILE.yaml", help="digits, cifar10-short, cifar10, or one of your own.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the parts and results; by default runs/NAME.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, instead of the experiment's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False,
    device: Device = "cpu",
    processes: Processes = 1,
    as_json: Json = False,
) -> int:
    """A published experiment beside ours: homogeneous baselines, the published search, our searches, one table.

    Every part is a run folder of its own; what was killed goes on with --resume. `cifar10` takes many hours on a CPU,
    `digits` minutes.

    Example: **xpert reproduce cifar10 --out runs/cifar10 --data-dir data**
    """
    from xpert.design import read_mapping
    from xpert.experiment.published import load_experiment

    loaded = load_experiment(experiment)
    folder = out or Path("runs") / loaded.name
    try:
        with patience():
            from xpert.experiment.comparison import reproduce as run_experiment

        with output.progress() as progress:
            path = run_experiment(
                loaded,
                folder,
                data_dir=data_dir,
                resume=resume,
                device=device,
                processes=processes,
                command=["xpert", *sys.argv[1:]],
                progress=progress,
            )
    except KeyboardInterrupt:
        again = f"xpert reproduce {shlex.quote(experiment)} --out {shlex.quote(str(folder))} --resume"
        raise _Interrupted(f"go on with: {again}") from None
    if as_json:
        output.write_json(read_mapping(folder / "results.json", "results file"))
    else:
        output.write(path.read_text(encoding="utf-8"))
    return 0


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(metavar="DESIGN.json|CONFIG.yaml", help="A design, or a config.")],
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
            help="Measure the layers' activity on these trained weights instead of assuming it; needs --dataset.",
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Images for --weights: digits or cifar10.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of data sets.")] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DESIGN.json", help="Also write the design, measured activity included.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="CHIP.svg", help="Also draw the chip, to scale, from its own areas.")
    ] = None,
    switches: Annotated[
        Literal["physical", "reference"],
        typer.Option(help="Physically right, or as DNN+NeuroSim V1.3 does, faults included."),
    ] = "physical",
) -> int:
    """Area, latency, energy, EDAP, TOPS/W and TOPS/mm² of a design, by component and by layer.

    Of a config, the typical homogeneous design is evaluated: the unsearched backbone on the config's chip, with the
    periphery of `baselines.typical` in every layer.

    Examples: **xpert evaluate runs/quickstart/design.json**

    **xpert evaluate config.yaml --sweep adc_type=sar,flash --sweep columns_per_adc=2,4,8,16,32**

    **xpert evaluate design.json --weights weights.safetensors --dataset digits --draw chip.svg**
    """
    if (weights is None) != (dataset is None):
        raise ConfigError("--weights and --dataset go together: activity is measured on weights with images")
    if sweep and draw is not None:
        raise ConfigError("--draw: draws one chip; leave out --sweep")
    design = read_design(file)
    if weights is not None and dataset is not None:
        _require_file(weights, "weight file")
        with patience():
            from xpert.experiment.measure import activity_of_design
        design = activity_of_design(design, weights, dataset, data_dir)
    if write is not None:
        design.write(write)
    variants = _swept(design, sweep) if sweep else []

    from xpert.hardware import evaluate
    from xpert.hardware.switches import PHYSICAL, REFERENCE

    model = {"physical": PHYSICAL, "reference": REFERENCE}[switches]
    if not variants:
        figures = evaluate(design, model).to_dict()
        if csv is not None:
            output.write_csv(csv, [flat(layer) for layer in figures["layers"]])
        if draw is not None:
            from xpert.report import chip_svg

            write_atomically(draw, chip_svg(figures))
        if as_json:
            output.write_json(figures)
        else:
            show_evaluation(figures)
        return 0

    rows = []
    with output.progress() as progress:
        for index, (settings, variant) in enumerate(variants, start=1):
            figures = evaluate(variant, model).to_dict()
            rows.append(settings | {key: figures[key] for key in HEADLINE})
            if progress:
                progress({"stage": "sweep", "design": index, "designs": len(variants)})
    if csv is not None:
        output.write_csv(csv, rows)
    if as_json:
        output.write_json({"name": design.name, "sweep": rows})
    else:
        names = list(variants[0][0])
        cells = [[*(str(row[name]) for name in names), *(output.number(row[key]) for key in HEADLINE)] for row in rows]
        output.show(output.table(design.name, [*names, *TITLES], cells, left=len(names)))
    return 0


def _swept(design: Design, texts: list[str]) -> list[tuple[dict[str, Any], Design]]:
    from xpert.cli.sweep import parse_sweeps, swept

    return swept(design, parse_sweeps(texts))


def read_design(path: Path) -> Design:
    """A design file, or the typical design of a config file.

    Raises:
        ConfigError: If it is neither, or breaks a rule.
    """
    from xpert.design import Design, read_mapping

    data = read_mapping(path, "design or config file")
    network, periphery = data.get("network"), data.get("periphery")
    if isinstance(periphery, list) or (isinstance(network, dict) and "layers" in network):
        return Design.parse(data, str(path), path.parent)
    from xpert.experiment.config import SearchConfig, typical_design

    return typical_design(SearchConfig.parse(data, str(path), path.parent))


@app.command()
def accuracy(
    design: Annotated[Path, typer.Argument(metavar="DESIGN.json", help="The design.")],
    weights: Annotated[Path, typer.Option(metavar="W.safetensors", help="The trained weights.")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="digits or cifar10.")],
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of data sets.")] = None,
    chips: Annotated[int, typer.Option(min=1, max=1000, help="Draws of the cells' variation to average over.")] = 5,
    calibration_images: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Training images on which ADC ranges are set, and batch norms measured."),
    ] = 128,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Images at a time on each chip.")] = 128,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the cells' variation.")] = 0,
    images: Annotated[int | None, typer.Option(min=1, help="Only the first so many test images.")] = None,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Also with each effect alone, and with all but that one.")
    ] = False,
    layers: Annotated[bool, typer.Option("--layers", help="Also each layer's ratio of signal to error.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Set a field of the periphery or the chip, as with `evaluate --sweep`: adc_bits, programming_sigma, "
            "ir_drop, device, ...; repeat for more.",
        ),
    ] = None,
    device: Device = "cpu",
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
    """
    from xpert.cli.sweep import with_values
    from xpert.design import Design

    loaded = Design.read(design)
    if changes:
        loaded = with_values(loaded, changes)
    _require_file(weights, "weight file")

    with patience():
        from xpert.experiment.measure import accuracy_of_design

    with output.progress() as progress:
        found = accuracy_of_design(
            loaded,
            weights,
            dataset,
            data_dir,
            seed=seed,
            chips=chips,
            calibration_images=calibration_images,
            batch_size=batch_size,
            images=images,
            each_effect=ablation,
            each_layer=layers,
            device=device,
            progress=progress,
        ).to_dict()
    found["changes"] = changes or []
    if write is not None:
        write_atomically(write, json.dumps(jsonable(found), allow_nan=False) + "\n")
    if as_json:
        output.write_json(found)
        return 0
    rows = [[name, output.percent(found[key])] for name, key in (("ideal", "ideal"), ("quantised", "quantised"))]
    rows.append([f"NI, mean of {chips} chips", output.percent(found["ni_mean"])])
    rows.append(["NI, 95 % confidence", _interval(found)])
    rows.append(["NI, standard deviation", output.percent(found["ni_std"])])
    title = f"{loaded.name}: accuracy on {found['images']} images of {dataset}"
    output.show(output.table(title, ["", "accuracy"], rows))
    if "ablation" in found:
        rows = [["none: quantised", output.percent(found["quantised"]), "", "", ""]]
        for row in found["ablation"]:
            figures = [(output.percent(row[key]["ni_mean"]), _interval(row[key])) for key in ("alone", "without")]
            rows.append([row["effect"].replace("_", " "), *figures[0], *figures[1]])
        rows.append(["all", output.percent(found["ni_mean"]), _interval(found), "", ""])
        header = ["effect", "with it alone", "95 %", "with all others", "95 %"]
        output.show(output.table("Accuracy by effect", header, rows))
    if "layers" in found:
        rows = [
            [
                row["layer"],
                *("exact" if row[key] is None else f"{row[key]:.1f}" for key in ("snr_db", "accumulated_snr_db")),
            ]
            for row in found["layers"]
        ]
        output.show(output.table("Signal to error, dB", ["layer", "own", "accumulated"], rows))
    return 0


def _decibels(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"


def _interval(figures: dict[str, Any]) -> str:
    """A confidence interval, where there is one."""
    if figures["ni_low"] is None:
        return "-"
    return f"{100 * figures['ni_low']:.1f} ... {100 * figures['ni_high']:.1f} %"


def _require_file(path: Path, what: str) -> None:
    """Complain about a missing file before the slow imports."""
    if not path.is_file():
        raise DataError(f"{path}: is a folder, not a {what}" if path.is_dir() else f"{path}: no such {what}")


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="A.json B.json ...", help="Designs or configs.")],
    as_json: Json = False,
) -> int:
    """Designs side by side, with ratios to the first: an energy ratio of 0.5 is half the first design's energy.

    Example: **xpert compare runs/a/design.json runs/b/design.json**
    """
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
        )
    else:
        from xpert.report import comparison_table

        output.show(comparison_table(figures, [entry["name"] for entry in figures]))
    return 0


@app.command()
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
        tell = None if progress is None else lambda row, rows: progress({"stage": "validate", "row": row, "rows": rows})
        found = validate_rows(file, tolerance, tell)
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


@app.command()
def solve(
    problem: Annotated[Path, typer.Argument(metavar="PROBLEM.json", help="Tabulated costs, objective and budgets.")],
    strategy: Annotated[
        Literal["exact", "gradient", "evolution", "random"], typer.Option(help="How to search.")
    ] = "exact",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")] = 0,
    seconds: Annotated[float | None, typer.Option(min=0, help="Time limit.")] = None,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Limit on the designs that are priced.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="SOLUTION.json", help="Go on from the design that an earlier --json gave.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Solve a tabulated search problem: choices and their costs per layer, an objective, budgets.

    `exact` proves its answer optimal; after a time limit it says how far from optimal the best design can be. The
    others prove nothing. If no design meets the budgets, `exact` says so; the others show the nearest that they found.

    Examples: **xpert solve problem.json --strategy exact --json**

    **xpert solve problem.json --strategy evolution --seed 2 --resume solution.json**
    """
    from xpert.design import read_mapping
    from xpert.solver import solve as solve_problem
    from xpert.solver.problem import load_problem

    loaded = load_problem(problem)
    start = None
    if resume is not None:
        start = loaded.design_of(read_mapping(resume, "solution file").get("design"), f"{resume}: design")
    with output.progress() as progress:
        tell = None if progress is None else lambda row: progress({"stage": strategy, **row})
        solution = solve_problem(
            loaded, strategy, seed=seed, seconds=seconds, evaluations=evaluations, start=start, progress=tell
        )
    figures = solution.to_dict(loaded)
    if as_json:
        output.write_json(figures)
    else:
        _show_solution(figures, [layer.name for layer in loaded.layers])
    if solution.status == "interrupted":  # the best so far was shown all the same
        raise KeyboardInterrupt
    return 0


def _show_solution(figures: dict[str, Any], layers: list[str]) -> None:
    rows = [
        [name, str(choice["width"]), str(choice["option"])]
        for name, choice in zip(layers, figures["design"], strict=True)
    ]
    output.show(output.table(figures["problem"], ["layer", "width", "option"], rows, left=3))
    value = f"value {figures['value']:.10g}" if figures["feasible"] else "no design found that meets the budgets"
    gap = figures["gap"]
    proof = (
        "" if gap is None else ", proven optimal" if gap <= 1e-9 else f", at most {100 * gap:.2g} % above the optimum"
    )
    work = f"{figures['evaluations']} evaluations, {figures['seconds']:.3g} s"
    output.write(f"{figures['strategy']}: {value}{proof} ({work})\n")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")],
) -> int:
    """Write the report of a run: RUN/report.html, one file that needs no network.

    Example: **xpert report runs/quickstart**
    """
    from xpert.report import write_report

    output.write(f"{write_report(run)}\n")
    return 0


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Where to write it.")] = Path("xpert.yaml"),
    preset: Annotated[str, typer.Option(help="Which shipped config to start from.")] = "quickstart",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> int:
    """Write a commented config to start from.

    Example: **xpert init my-search.yaml --preset cifar10-vgg16**
    """
    from xpert.experiment.presets import preset_text

    text = preset_text(preset)
    if file.exists() and not force:
        raise ConfigError(f"{file}: exists already; add --force to overwrite it, or give another name")
    write_atomically(file, text)
    output.write(f"Wrote {file}. Next: xpert search {shlex.quote(str(file))} --out runs/first\n")
    return 0


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Print this one instead of the list.")] = None,
) -> int:
    """List the shipped configs, or print one.

    Example: **xpert presets quickstart**
    """
    from xpert.experiment.presets import describe_preset, preset_names, preset_text

    if name is None:
        output.write("".join(f"{each:16} {describe_preset(each)}\n" for each in preset_names()))
    else:
        output.write(preset_text(name))
    return 0


@app.command()
def parts(
    name: Annotated[str | None, typer.Argument(help="Print this one instead of the list.")] = None,
) -> int:
    """List the ADCs, devices and technologies that come with XPert, or print one: a file to start your own from.

    Example: **xpert parts murmann-sar-median > my-adc.yaml**
    """
    from xpert.design import PART_KINDS, part_names, part_text, shown

    shipped = {each: kind for kind in PART_KINDS for each in part_names(kind)}
    if name is not None and name not in shipped:
        raise ConfigError(f"part: must be one of {', '.join(shipped)}, got {shown(name)}")
    if name is not None:
        output.write(part_text(shipped[name], name))
        return 0
    for each, kind in shipped.items():
        output.write(f"{kind:11} {each:20} {part_text(kind, each).splitlines()[0].lstrip('# ')}\n")
    return 0
