"""Networks of the user's own, as commands take them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.cli import output
from xpert.cli.inputs import read_design_or_config, require_file
from xpert.errors import ConfigError

if TYPE_CHECKING:
    from xpert.design import Design
    from xpert.networks.sources import LoadedNetwork
    from xpert.networks.sources.neurosim import LayerTable


def load_source(
    source: str,
    input_shape: str | None = None,
    arguments: Sequence[str] | None = None,
    weights: Path | None = None,
    default_shape: tuple[int, ...] | None = None,
    digital: Sequence[str] | None = None,
) -> LoadedNetwork | LayerTable:
    """The network of a source and the flags that go with it; of a table of layers these alone.

    Raises:
        ConfigError: If one of them is wrong.
        DataError: If a file is missing or broken.
    """
    from xpert.networks.sources import parse_source, read_source
    from xpert.networks.sources.neurosim import LayerTable

    parse_source(source)
    found = read_source(
        source,
        arguments=parse_arguments(arguments or ()),
        input_shape=parse_shape(input_shape),
        weights=weights,
        default_shape=default_shape,
        digital=tuple(digital or ()),
    )
    if isinstance(found, LayerTable):
        output.note(f"{source}: {found.remark}")
    return found


def is_source(text: str) -> bool:
    """Whether a text is a source rather than the path of a design or config."""
    from xpert.networks.sources import find_source

    return find_source(text) is not None


def read_design_and_network(
    what: str,
    network: str | None,
    input_shape: str | None,
    arguments: Sequence[str] | None,
    weights: Path | None,
    dataset: str | None,
    data_dir: Path | None,
) -> tuple[Design, LoadedNetwork | None]:
    """What a command works on: a design or config, with its network where that is the user's own; or a source.

    A design is data, which may come from anywhere: the code of its network is never run because the design says so, but
    because --network does.

    Args:
        what: Design file, config file or source.
        network: Source of a design's network, from --network.
        input_shape: From --input-shape.
        arguments: From --argument.
        weights: From --weights.
        dataset: From --dataset.
        data_dir: From --data-dir.

    Returns:
        The design (of a source, the network on the default chip with the typical periphery in every layer), and its
        network where that is the user's own.

    Raises:
        ConfigError: If one of them is wrong, or the network cannot be mapped.
        DataError: If a file is missing or broken.
    """
    if is_source(what):
        if network is not None:
            raise ConfigError(f"--network: goes with a design, but {what} is a network itself")
        loaded = load_source(what, input_shape, arguments, weights, image_shape(dataset, data_dir, input_shape))
        return _checked(_on_the_default_chip(loaded), loaded, dataset)

    from xpert.design import Design
    from xpert.experiment.config import own_network, typical_design
    from xpert.networks.sources.neurosim import LayerTable

    found = read_design_or_config(Path(what))
    of_config = not isinstance(found, Design) and found.network.source is not None
    if network is None or of_config:
        for flag, value in (("--network", network), ("--input-shape", input_shape), ("--argument", arguments)):
            if value:
                raise ConfigError(f"{flag}: goes with the source of a network; {what} says all of its own network")
    if isinstance(found, Design):
        design = found
    elif of_config:
        own = own_network(found, weights)
        return _checked(typical_design(found, own), own, dataset)
    else:
        design = typical_design(found)
    if network is None:
        return design, None
    if design.network.backbone != "custom":
        raise ConfigError(f"--network: the network of {what} is a {design.network.backbone}, which needs no source")
    searched = design.network.source
    if searched is None:
        return _checked(
            design, load_source(network, input_shape, arguments, weights, design.network.input_shape), dataset
        )
    # What the widths are those of; the weights are those of the searched network, not the source's.
    given = arguments or [f"{name}={json.dumps(value)}" for name, value in searched.arguments.items()]
    if given and not arguments:
        output.note(f"{network}: with the design's arguments, {', '.join(given)}")
    shape = input_shape or ",".join(map(str, design.network.input_shape))
    loaded = load_source(network, shape, given)
    if isinstance(loaded, LayerTable):
        raise ConfigError(f"--network: {network} is a table of layers, no network that computes")
    return design, loaded


def with_digital(design: Design, patterns: Sequence[str] | None) -> Design:
    """The design with layers kept off the crossbars whose names match, from --digital.

    Raises:
        ConfigError: If a pattern matches no layer, or no layer is left on crossbars.
    """
    from xpert.workload.layers import on_crossbars

    if not patterns:
        return design
    found = design.replace(network=design.network.with_digital(*patterns))
    on_crossbars(found.network)
    return found


def read_measured(
    what: str,
    network: str | None,
    input_shape: str | None,
    arguments: Sequence[str] | None,
    weights: Path | None,
    dataset: str,
    data_dir: Path | None,
    *,
    digital: Sequence[str] | None,
    changes: Sequence[str] | None,
) -> tuple[Design, LoadedNetwork | None]:
    """What accuracies are measured of: as `read_design_and_network`, with what --digital and --set change.

    Args:
        what: Design file, config file or source; likewise the next ones, which are as there.
        network: From --network.
        input_shape: From --input-shape.
        arguments: From --argument.
        weights: From --weights; the file must be there.
        dataset: From --dataset.
        data_dir: From --data-dir.
        digital: From --digital.
        changes: From --set.

    Raises:
        ConfigError: If one of them is wrong, or the network cannot be mapped.
        DataError: If a file is missing or broken.
    """
    from xpert.cli.values import with_values

    design, own = read_design_and_network(what, network, input_shape, arguments, weights, dataset, data_dir)
    design = with_digital(design, digital)
    if weights is not None:
        require_file(weights, "weight file")
    return (with_values(design, changes) if changes else design), own


def _checked(
    design: Design, loaded: LoadedNetwork | LayerTable, dataset: str | None
) -> tuple[Design, LoadedNetwork | None]:
    from xpert.networks.sources.neurosim import LayerTable

    if dataset is not None and loaded.untrained is not None:
        raise ConfigError(f"{loaded.name}: {loaded.untrained}")
    return design, None if isinstance(loaded, LayerTable) else loaded


def _on_the_default_chip(loaded: LoadedNetwork | LayerTable) -> Design:
    from xpert.design import Chip
    from xpert.experiment.config import BaselineSettings

    return loaded.design(Chip(), BaselineSettings().typical)


def image_shape(
    dataset: str | None, data_dir: Path | None = None, input_shape: str | None = None
) -> tuple[int, ...] | None:
    """The shape of a data set's images; none where there is no data set, or where a flag says the shape.

    Raises:
        ConfigError: If there is no such data set.
        DataError: If it is one of the user's own, and missing or not of one shape.
    """
    from xpert.training.datasets import describe_dataset
    from xpert.training.source import DataRequest

    if dataset is None or input_shape is not None:
        return None
    return describe_dataset(DataRequest(dataset) if data_dir is None else DataRequest(dataset, data_dir)).input_shape


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """The sizes of an input from `C,H,W`.

    Raises:
        ConfigError: If they are no such thing.
    """
    if text is None:
        return None
    sides = text.lower().replace("x", ",").split(",")
    if not 1 <= len(sides) <= 4 or not all(side.strip().isdecimal() and 0 < int(side) <= 1 << 20 for side in sides):
        raise ConfigError(f"--input-shape: expected C,H,W (channels, height, width), got {text!r}")
    return tuple(int(side) for side in sides)


def parse_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """Arguments of a source from `NAME=VALUE`, values as in YAML.

    Raises:
        ConfigError: If a text has no such form, or a name stands twice.
    """
    import yaml

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--argument: expected NAME=VALUE, got {text!r}")
        if name in found:
            raise ConfigError(f"--argument: {name} stands twice")
        try:
            found[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise ConfigError(f"--argument: {name}: the value is not YAML, got {value!r}") from None
    return found
