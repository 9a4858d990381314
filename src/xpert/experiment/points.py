"""Points of a run's fronts, made designs again. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xpert.design import ARCHITECTURE_FIELDS, Chip, Design, Network, options_of
from xpert.errors import ConfigError, DataError, RunError
from xpert.experiment.config import SearchConfig, search_space
from xpert.experiment.run import read_config
from xpert.hardware import evaluate
from xpert.networks.spaces import Space
from xpert.report import write_report
from xpert.report.run_files import RunFiles, read_run
from xpert.results import ArchitectureStage, EvaluationRecord, FrontPoint, Point, TriedDesign

WEIGHTS = "weights.safetensors"
"""Final weights in a run folder."""


@dataclass(frozen=True)
class RunPoints:
    """The points of a run, and what makes them designs."""

    folder: Path
    config: SearchConfig
    points: tuple[Point, ...]
    quality_name: str
    """What phase 1 calls the quality."""

    chip: Chip
    """That of the config, in the tiles that phase 1 chose."""

    def design(self, point: Point) -> Design:
        """The design at a point, named after run and point.

        Raises:
            DataError: If the run was recorded by a version that did not keep what it takes.
        """
        where = f"{self.folder}: point {point.number}"
        name = f"{self.config.name}, point {point.number}"
        try:
            network = _network(search_space(self.config), point)
            return Design.parse({"name": name, "chip": self.chip, "network": network, "periphery": point.periphery})
        except ConfigError:
            raise DataError(
                f"{where}: its network or periphery was not recorded whole, by an older version; search again"
            ) from None

    def evaluation(self, point: Point) -> EvaluationRecord:
        """What the design at a point costs now.

        Raises:
            DataError: As `design`.
        """
        return EvaluationRecord.parse(evaluate(self.design(point)).to_dict())


def read_points(folder: Path | str) -> RunPoints:
    """The points of the fronts of a run, finished or not: phase 1's, phase 2's, those of joint search.

    Raises:
        RunError: If it is not a run folder, or holds no front yet.
        DataError: If one of its files is broken.
        ConfigError: If its config is.
    """
    files = read_run(folder)
    config = read_config(files.folder)
    found = tuple(_points(files, config))
    if not found:
        raise RunError(
            f"{files.folder}: has no fronts: phase 1 is not finished, or its config says architecture.front_points: 0"
        )
    architecture = files.results.architecture
    chip = config.chip if files.design is None else files.design.chip
    return RunPoints(files.folder, config, found, architecture.quality_name if architecture else "quality", chip)


def report_run(folder: Path | str) -> Path:
    """Write the report of a run, its fronts with the designs at their points; where it is.

    Raises:
        RunError: If it is not a run folder, or cannot be written to.
        DataError: If one of its files is broken.
    """
    try:
        found = read_points(folder)
    except (RunError, ConfigError):  # no fronts, or the config of another installation: the rest is a report, too
        return write_report(folder)
    return write_report(folder, [(point, _made(found, point)) for point in found.points])


def _made(found: RunPoints, point: Point) -> Design | None:
    try:
        return found.design(point)
    except DataError:
        return None


def differs(point: Point, evaluation: EvaluationRecord) -> bool:
    """Whether a design costs otherwise than was recorded, as with another version of the cost model."""
    pairs = ((getattr(point, name), getattr(evaluation, name)) for name in ("latency_us", "energy_uj", "edap"))
    return any(abs(before - now) > 1e-9 * before for before, now in pairs)


def _network(space: Space, point: Point) -> Network:
    return space.network(point.channels, point.kernels)


def _points(files: RunFiles, config: SearchConfig) -> Iterator[Point]:
    for number, point in enumerate((*_phase1(files, config), *_phase2(files), *_joint(files)), 1):
        yield point.replace(number=number)


def _phase1(files: RunFiles, config: SearchConfig) -> Iterator[Point]:
    options = options_of(config.baselines.typical, **config.periphery.options)
    by_words = {option.short(ARCHITECTURE_FIELDS): option for option in options}
    architecture = files.results.architecture
    for front in architecture.fronts if architecture else ():
        for point in front.points:
            fits = files.design is not None and _same_network(files.design.network, point)
            known = [by_words[words] for words in point.periphery if words in by_words]
            yield Point(
                number=0,
                front="phase1",
                objective=front.objective,
                along=front.along,
                **{name: getattr(point, name) for name in ("area_mm2", "latency_us", "energy_uj", "edap", "quality")},
                gap=point.gap,
                channels=point.channels,
                kernels=point.kernels,
                periphery=tuple(known) if len(known) == len(point.periphery) else (),
                weights=WEIGHTS if fits and (files.folder / WEIGHTS).exists() else None,
            )


def _same_network(network: Network, point: FrontPoint) -> bool:
    return (network.channels, network.kernels) == (point.channels, point.kernels)


def _phase2(files: RunFiles) -> Iterator[Point]:
    precision, design = files.results.precision, files.design
    if precision is None or design is None:
        return
    network = design.network
    for tried in precision.front:
        yield from _measured(files, tried, "precision", network.channels, network.kernels)


def _joint(files: RunFiles) -> Iterator[Point]:
    precision = files.results.precision
    for row in precision.joint if precision else ():
        if row.design is not None:
            yield from _measured(files, row.design, "joint", row.channels, row.kernels)


def _measured(
    files: RunFiles, tried: TriedDesign, front: str, channels: tuple[int, ...], kernels: tuple[int, ...]
) -> Iterator[Point]:
    if tried.energy_uj is None or tried.latency_us is None or tried.edap is None:
        return
    weights = _trained(files, channels)
    yield Point.parse(
        {
            "number": 0,
            "front": front,
            "objective": "edap",
            "along": "NI-accuracy",
            "area_mm2": tried.edap / (tried.energy_uj * tried.latency_us),
            "latency_us": tried.latency_us,
            "energy_uj": tried.energy_uj,
            "edap": tried.edap,
            "ni_accuracy": tried.ni_accuracy,
            "ni_accuracy_interval": tried.ni_accuracy_interval,
            "channels": channels,
            "kernels": kernels,
            "periphery": tried.peripheries,
            "weights": weights,
            "as_measured": weights is not None and weights != WEIGHTS and not tried.own_weights,
        }
    )


def _trained(files: RunFiles, channels: tuple[int, ...]) -> str | None:
    """The file with the weights of a network as it was trained, before any fine-tuning; else the final ones."""
    state = files.folder / "state"
    precision = files.results.precision
    rounds = precision.joint if precision else ()
    names = {row.channels: f"joint{number}" for number, row in reversed([*enumerate(rounds, 1)])}
    if (stage := state / "architecture.json").exists():
        names[ArchitectureStage.read(stage, "stage result").design.network.channels] = "searched"
    name = f"{names.get(channels, 'searched')}.safetensors"
    if (state / name).exists():
        return f"state/{name}"
    same = files.design is not None and files.design.network.channels == channels
    return WEIGHTS if same and (files.folder / WEIGHTS).exists() else None


__all__ = ["WEIGHTS", "RunPoints", "differs", "read_points", "report_run"]
