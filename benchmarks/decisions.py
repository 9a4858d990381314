"""What each per-layer decision is worth: `python -m benchmarks.decisions [--out results/decisions.md] [--json]`.

VGG16 for CIFAR-10 by its costs, without training: EDAP layer by layer with each decision alone and last, and images per
second of the pipelined chip with copies by the reference's rule and chosen, at equal area. Precisions of ADCs, inputs,
weights and cells on the quickstart's trained network, alone and last, at equal measured NI-accuracy; `--runs` keeps
these searches, and a killed one goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from xpert.design import Chip, Design, Periphery, options_of
from xpert.experiment import SearchConfig, load_preset, open_run
from xpert.experiment.pipeline import run_search, run_stage
from xpert.experiment.workspace import Workspace
from xpert.files import write_atomically
from xpert.hardware import evaluate
from xpert.machine import cpu_name
from xpert.networks.spaces import Space, space
from xpert.results import PrecisionStage, SinglePeriphery
from xpert.search.architecture import search_architecture
from xpert.search.objectives import PER_SI, Budgets, Goal
from xpert.search.organisation import organisations
from xpert.search.quality.additive import additive_quality
from xpert.text import plain_number
from xpert.training import computing_on

WIDTHS = space("vgg16", (64, 128, 256, 512), (3, 32, 32), 10)
"""VGG16 with all its widths to choose from."""

BACKBONE = space("vgg16", [[width] for width in WIDTHS.default_channels], (3, 32, 32), 10)
"""The same as it is."""

CHIP = Chip(pes_per_tile=4)
PIPELINED = CHIP.replace(execution="pipelined", pipeline_speed_up=8)

LISTS: Mapping[str, tuple[Any, ...]] = {
    "adc_type": ("sar", "flash"),
    "columns_per_adc": (4, 8, 32),
    "copies": (None, 4, 16, 64),
}
"""Options of the decisions per layer; `tiles` is one of the chip."""

COPIES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Options of copies for throughput."""


INTRODUCTION = """\
VGG16 for CIFAR-10 on 64 x 64 crossbars, tiles of 4 PEs of 4 subarrays, 6-bit ADCs and 8-bit inputs. Every row is phase
1 by `exact`; `proven` is by how much a design of the same decisions may be better at most."""

PRECISIONS: Mapping[str, tuple[Any, ...]] = {
    "adc_bits": (3, 4, 5, 6),
    "input_bits": (3, 4, 5, 6, 8),
    "weight_bits": (4, 6, 8),
    "cell_bits": (1, 2, 4),
}
"""Options of phase 2's decisions."""

TITLES = {"throughput": "Throughput", "edap": "EDAP", "precision": "Precisions, at equal accuracy"}

ABOUT = {
    "throughput": """\
The pipelined chip. The first row has as many copies as the reference's rule makes of degree 8, and the area that the
others keep. The second has the same copies, priced as chosen ones are: tiles of different copies share the traffic. The
width law keeps the accuracy that it predicts at the backbone's own.""",
    "edap": """\
Layer by layer, on the backbone itself. ADC type `sar`, `flash`; 4, 8 or 32 columns per ADC; copies by the mapping's
rule, 4, 16 or 64; tiles of `architecture.choose_tiles`. What a row does not choose layer by layer is that of the best
single periphery.""",
    "precision": """\
Phase 2 on the quickstart's trained network (digits), against one floor of measured NI-accuracy, a point below the
typical precisions'. ADC bits 3 to 6, input bits 3, 4, 5, 6, 8, weight bits 4, 6, 8 and cell bits 1, 2, 4; ADC type and
sharing follow in all rows. What a row does not choose layer by layer is that of the best single periphery, which has
all these options too. NI-accuracies are those of the second measurement, on other chips; nothing was trained again.""",
}
"""What each table shows."""


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    name: str
    design: Design
    bound: float | None
    """No design with these decisions has a smaller objective."""

    seconds: float
    """CPU time. [s]"""

    def figures(self, objective: str) -> dict[str, float | None]:
        """Its figures in the units of evaluations."""
        found = evaluate(self.design)
        value = Goal(objective).value(found)
        return {
            "area_mm2": float(found.area) * PER_SI,
            "latency_us": float(found.latency) * PER_SI,
            "energy_uj": float(found.energy) * PER_SI,
            "frames_per_second": 1 / float(found.latency),
            "value": value,
            "gap": None if self.bound is None else max(0.0, (value - self.bound) / value),
            "cpu_seconds": self.seconds,
        }


def searched(
    name: str, networks: Space, chip: Chip, objective: str, area_mm2: float | None, *, tiles: bool, **lists: Any
) -> Row:
    """Phase 1 with these options."""
    started = time.process_time()
    found = search_architecture(
        networks,
        chip,
        options_of(Periphery(), **lists),
        objective=objective,
        budgets=Budgets(area_mm2=area_mm2),
        quality=additive_quality("width_law"),
        minimum_quality=None if networks is BACKBONE else 1.0,
        strategy="exact",
        seed=0,
        tilings=organisations(chip)[1:] if tiles else (),
    )
    return Row(name, found.design, found.lower_bound, time.process_time() - started)


def fixed(name: str, chip: Chip, periphery: tuple[Periphery, ...]) -> Row:
    """The backbone as it is given."""
    network = BACKBONE.network(BACKBONE.default_channels)
    return Row(name, Design(network=network, chip=chip, periphery=periphery), None, 0.0)


def edap(report: Callable[[Row], None]) -> list[Row]:
    """Each decision alone, all of them, and all but each."""
    depth = len(BACKBONE.inputs)
    single = min(
        (fixed("single periphery", CHIP, (entry,) * depth) for entry in options_of(Periphery(), **LISTS)),
        key=lambda row: float(evaluate(row.design).edap),
    )
    usual = {name: (getattr(single.design.periphery[0], name),) for name in LISTS}
    rows = [single]
    single = replace(single, name=f"single periphery ({single.design.periphery[0].short(LISTS)})")
    rows = [single]
    report(single)
    cases = [(f"{name} alone", {name}) for name in (*LISTS, "tiles")]
    cases += [(f"all but {name}", {*LISTS, "tiles"} - {name}) for name in (*LISTS, "tiles")]
    for name, taken in (*cases, ("all", {*LISTS, "tiles"})):
        lists = {field: LISTS[field] if field in taken else usual[field] for field in LISTS}
        rows.append(searched(name, BACKBONE, CHIP, "edap", None, tiles="tiles" in taken, **lists))
        report(rows[-1])
    (ruled,) = (row for row in rows if row.name == "all but copies")
    area = float(evaluate(ruled.design).area) * PER_SI
    rows.append(searched("all, at the area of all but copies", BACKBONE, CHIP, "edap", area, tiles=True, **LISTS))
    report(rows[-1])
    return rows


def throughput(report: Callable[[Row], None]) -> list[Row]:
    """Copies by the reference's rule and chosen, within the area that the rule's take."""
    depth = len(BACKBONE.inputs)
    rule = fixed("backbone, the rule's copies", PIPELINED, (Periphery(),) * depth)
    evaluated = evaluate(rule.design)
    counts = tuple(Periphery(copies=int(count)) for count in evaluated.speed_up)
    area = float(evaluated.area) * PER_SI
    rows = [rule, fixed("backbone, as many, priced as chosen ones", PIPELINED, counts)]
    asked = (
        ("backbone, chosen copies", BACKBONE, COPIES),
        ("width law, the rule's copies", WIDTHS, (None,)),
        ("width law, chosen copies", WIDTHS, COPIES),
    )
    for row in rows:
        report(row)
    for name, networks, copies in asked:
        rows.append(searched(name, networks, PIPELINED, "throughput", area, tiles=False, copies=copies))
        report(rows[-1])
    return rows


@dataclass(frozen=True)
class MeasuredRow:
    """A line of the table of precisions."""

    name: str
    edap: float
    ni_accuracy: float
    interval: tuple[float, float]
    """95 % of its difference to the typical precisions."""

    seconds: float
    """CPU time of the search. [s]"""

    def figures(self, _: str) -> dict[str, Any]:
        """Its figures."""
        return {name: value for name, value in vars(self).items() if name != "name"}


def precision(report: Callable[[MeasuredRow], None], folder: Path) -> list[MeasuredRow]:
    """Phase 2 with each of its decisions alone, all of them, and all but each."""
    preset = load_preset("quickstart")
    lists = {Periphery.decisions()[name].options_name: options for name, options in PRECISIONS.items()}

    def settings(**own: Any) -> SearchConfig:
        changes = lists | own | {"finetune_epochs": 0}
        return preset.replace(precision=type(preset.precision).parse(preset.precision.model_dump() | changes))

    whole, seconds = _phase_2(settings(), folder / "all", None)
    single = whole.single
    assert single is not None
    worded = single.short(tuple(PRECISIONS))
    rows = [_measured_row(f"single periphery ({worded})", single.edap, single, seconds)]
    report(rows[0])
    cases = [(f"{name} alone", [name]) for name in lists]
    cases += [(f"all but {name}", [other for other in lists if other != name]) for name in lists]
    for number, (name, taken) in enumerate(cases):
        fixed_lists = {
            decision.options_name: (getattr(single, field),)
            for field, decision in Periphery.decisions("precision").items()
            if decision.options_name not in taken
        }
        found, seconds = _phase_2(settings(**fixed_lists), folder / str(number), folder / "all")
        rows.append(_measured_row(name, float(evaluate(found.design).edap) * 1e18, found, seconds))
        report(rows[-1])
    rows.append(_measured_row("all", float(evaluate(whole.design).edap) * 1e18, whole, rows[0].seconds))
    return rows


def _measured_row(name: str, edap: float, found: PrecisionStage | SinglePeriphery, seconds: float) -> MeasuredRow:
    difference = found.difference
    assert found.ni_accuracy is not None
    assert difference is not None
    return MeasuredRow(name, edap, found.ni_accuracy.mean, (difference.low, difference.high), seconds)


def _phase_2(config: SearchConfig, folder: Path, trained: Path | None) -> tuple[PrecisionStage, float]:
    """Phase 2 of a config in a run folder, with the network of another one if given, and its CPU time."""
    if trained is not None and not folder.exists():
        with open_run(folder, config, resume=True):
            pass
        for name in ("architecture.json", "training.json", "searched.safetensors"):
            shutil.copyfile(trained / "state" / name, folder / "state" / name)
    run_search(config, folder, resume=True, stop_after="training")
    cpu = folder / "cpu_seconds"
    with open_run(folder, None, resume=True) as run, computing_on(run.config.threads):
        before = time.process_time()
        found = run_stage(Workspace(run, torch.device("cpu")), "precision")
        if not cpu.exists():
            cpu.write_text(str(time.process_time() - before))
    assert isinstance(found, PrecisionStage)
    return found, float(cpu.read_text())


def measured_table(rows: list[MeasuredRow]) -> str:
    """The rows in Markdown, each with its ratio to the first."""
    head = ["design", "EDAP", "better than the first", "NI-accuracy", "less than at the typical precisions", "CPU time"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for row in rows:
        low, high = (f"{-100 * end:+.1f}" for end in reversed(row.interval))
        cells = [plain_number(row.edap), f"{rows[0].edap / row.edap:.2f}x", f"{100 * row.ni_accuracy:.1f} %"]
        lines.append(f"| {' | '.join([row.name, *cells, f'{low} to {high} points', f'{row.seconds:.0f} s'])} |")
    return "\n".join(lines)


def table(rows: list[Row], objective: str) -> str:
    """The rows in Markdown, each with its ratio to the first."""
    title = {"throughput": "us per image"}.get(objective, objective.upper())
    head = ["design", "area mm2", "latency us", "energy uJ", "images/s", title, "better than the first", "proven"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    first = rows[0].figures(objective)["value"]
    for row in rows:
        found = row.figures(objective)
        value, gap = found["value"], found["gap"]
        cells = [plain_number(found[name]) for name in ("area_mm2", "latency_us", "energy_uj", "frames_per_second")]
        proven = "" if gap is None else "yes" if gap <= 1e-9 else f"to {100 * gap:.2g} %"
        lines.append(
            f"| {' | '.join([row.name, *cells, plain_number(value), f'{(first or 0) / (value or 1):.2f}x', proven])} |"
        )
    return "\n".join(lines)


def _tabled(rows: list[Any], name: str) -> str:
    return measured_table(rows) if name == "precision" else table(rows, name)


def main() -> None:
    """Search, then print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=tuple(TITLES), action="append", help="default: all")
    parser.add_argument("--runs", type=Path, help="folder of the searches of precisions (default: a new one)")
    parser.add_argument("--out", type=Path, help="write the tables there")
    parser.add_argument("--json", action="store_true", help="print the figures")
    arguments = parser.parse_args()

    def report(row: Row | MeasuredRow) -> None:
        if not arguments.json:
            print(f"{row.name}: {row.seconds:.1f} s", flush=True)

    runs = arguments.runs or Path(tempfile.mkdtemp(prefix="xpert-decisions-"))
    parts: dict[str, Callable[[Any], list[Any]]] = {
        "throughput": throughput,
        "edap": edap,
        "precision": lambda report: precision(report, runs),
    }
    found = {name: part(report) for name, part in parts.items() if name in (arguments.part or parts)}
    if arguments.json:
        figures = {name: {row.name: row.figures(name) for row in rows} for name, rows in found.items()}
        print(json.dumps(figures))
        return
    seconds = sum(row.seconds for rows in found.values() for row in rows)
    parts_text = [
        "# What each decision is worth",
        "    python -m benchmarks.decisions --out results/decisions.md",
        f"{date.today().isoformat()}, one core of {cpu_name()}; {seconds:.0f} s of CPU time.",
        INTRODUCTION,
        *(f"## {TITLES[name]}\n\n{ABOUT[name]}\n\n{_tabled(rows, name)}" for name, rows in found.items()),
    ]
    text = "\n\n".join(parts_text) + "\n"
    if arguments.out is None:
        print(text, end="")
    else:
        write_atomically(arguments.out, text)


if __name__ == "__main__":
    main()
