"""Published experiments that `xpert reproduce` runs. Each is a commented YAML file in this folder."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from xpert.design import Chip, DataModel, parse_mapping, read_mapping, shown
from xpert.errors import ConfigError
from xpert.experiment.config import SearchConfig, option_lists, search_space

_FOLDER = resources.files("xpert.experiment.published")


class HomogeneousGrid(option_lists("precision", required=True)):
    """Precisions and tile sizes of the homogeneous designs."""

    pes_per_tile: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    """Tile sizes beside the chip's own. They change costs alone, and what suits a narrow network need not suit the
    backbone."""


class Experiment(DataModel):
    """A comparison of searches with homogeneous designs of one backbone."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")]
    """What it is called."""

    target: Annotated[float, Field(gt=0, le=1)]
    """NI-accuracy, on validation images, that the search in the table should reach."""

    within: Annotated[float, Field(ge=0, le=1)] = 0.01
    """By how much less accurate the best homogeneous design may be."""

    homogeneous: HomogeneousGrid
    """Which homogeneous designs there are."""

    common: dict[str, Any]
    """Config of all searches, without a name; as in a config file."""

    paper: dict[str, Any] | None = None
    """What the published search has of its own; None leaves it out."""

    ours: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    """What each of our searches has of its own, `name` included."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [config.name for config in self.searches()]
        if len(set(names)) < len(names):
            raise ValueError(f"ours: names must differ, got {', '.join(names)}")
        baseline = self.baseline()
        for pes in self.homogeneous.pes_per_tile:
            tiled(baseline.chip, pes)
        for config in self.searches():
            for part in ("seed", "dataset", "chip", "baselines", "evaluation"):
                if getattr(config, part) != getattr(baseline, part):
                    raise ValueError(
                        f"{config.name}: {part}: all searches share the baseline's, so it belongs in common"
                    )
            widest = _widest(baseline)
            if _widest(config) != widest:
                raise ValueError(f"{config.name}: network.choices: the widest must be {widest}, the baseline's")
        return self

    def baseline(self) -> SearchConfig:
        """The config whose typical design is the baseline. It says how the backbone is trained, for all searches."""
        config = SearchConfig.parse(self.common | {"name": "baseline"}, f"{self.name}: common")
        if config.baselines.training is not None:
            return config
        return config.replace(baselines=config.baselines.replace(training=config.training))

    def searches(self) -> tuple[SearchConfig, ...]:
        """The published search and ours, in this order. The backbone is trained as the baseline says in all of them."""
        parts = [*([{"name": "paper"} | self.paper] if self.paper is not None else []), *self.ours]
        training = self.baseline().baselines.training
        configs = []
        for part in parts:
            config = SearchConfig.parse(_merged(self.common, part), f"{self.name}: {part.get('name', 'ours')}")
            if config.baselines.training is None:
                config = config.replace(baselines=config.baselines.replace(training=training))
            configs.append(config)
        return tuple(configs)


def tiled(chip: Chip, pes_per_tile: int | None) -> Chip:
    """The same chip with tiles of another size; None leaves it to the floorplan.

    Raises:
        ConfigError: If tiles cannot have it.
    """
    return Chip.parse(chip.model_dump() | {"pes_per_tile": pes_per_tile}, "homogeneous")


def experiment_names() -> tuple[str, ...]:
    """Names of the shipped experiments, sorted."""
    files = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def load_experiment(name: str) -> Experiment:
    """A shipped experiment, or one of the user's own by the path of its file.

    Raises:
        ConfigError: If there is none, or it breaks a rule.
    """
    if name in experiment_names():
        text = _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return Experiment.parse(parse_mapping(text, f"experiment {name}", "experiment"), f"experiment {name}")
    if name.endswith((".yaml", ".yml", ".json")):
        return Experiment.parse(read_mapping(Path(name), "experiment file"), name)
    raise ConfigError(f"experiment: must be one of {', '.join(experiment_names())}, or a YAML file, got {shown(name)}")


def _merged(common: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(common)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _widest(config: SearchConfig) -> int:
    return max(map(max, search_space(config).choices))


__all__ = ["Experiment", "HomogeneousGrid", "experiment_names", "load_experiment", "tiled"]
