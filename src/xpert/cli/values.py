"""Values of fields and settings, as they are typed; and designs with all combinations of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from xpert.design import Chip, Design, Periphery, shown
from xpert.errors import ConfigError

MAX_DESIGNS = 100_000
"""Most combinations that one sweep evaluates."""


_PARTS = ("technology", "device")
"""Parts of a chip that can be swept as a whole, by the names of shipped ones or the paths of files."""

_TEXTS = {"name", "source", "adcs", "process"}
"""Fields that no list of values makes sense for."""


def _chip_fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _chip_fields(field.annotation, (*path, name))
        elif name not in _TEXTS:
            yield (*path, name)


def sweep_fields() -> dict[str, tuple[str, ...]]:
    """What can be swept: the name on the command line, and the field's path in a design file.

    Periphery fields are set in every layer. Fields of the chip's parts go by their own name or with the part's:
    `r_on_ohm` or `device.r_on_ohm`. What a layer and the chip both have is the layer's under its own name, and else the
    chip's: `weight_bits` and `chip.weight_bits`, `cell_bits` and `device.cell_bits`. `device` and `technology` take the
    names of shipped parts, or paths.
    """
    layers: dict[str, tuple[str, ...]] = {name: ("periphery", name) for name in Periphery.decisions()}
    fields = dict(layers)
    for path in (*_chip_fields(Chip), *((part,) for part in _PARTS)):
        if path[-1] in layers and len(path) == 1:
            fields["chip." + path[-1]] = ("chip", *path)
        else:
            fields[".".join(path)] = ("chip", *path)
        if path[-1] not in layers:
            fields[path[-1]] = ("chip", *path)
    return fields


def parse_sweeps(texts: Sequence[str], flag: str = "--sweep") -> dict[str, list[Any]]:
    """The values of each swept field, from `name=value,value,...`.

    Args:
        texts: What was given.
        flag: With which flag, for messages.

    Raises:
        ConfigError: If a name is unknown or stands twice, or there are no values.
    """
    fields = sweep_fields()
    sweeps: dict[str, list[Any]] = {}
    form = "NAME=VALUE,VALUE,..." if flag == "--sweep" else "NAME=VALUE"
    for text in texts:
        name, values = _split(text, flag, form)
        if name not in fields:
            raise ConfigError(f"{flag}: unknown field {shown(name)}; known are {', '.join(fields)}")
        if any(fields[name] == fields[other] for other in sweeps):
            raise ConfigError(f"{flag}: {name} stands twice; list all its values once")
        sweeps[name] = _read(name, values, flag)
    return sweeps


def parse_settings(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each setting of a config, from `key=value,value,...`; keys have dots, as `precision.maximum_drop`.

    Raises:
        ConfigError: If a key or a value stands twice, or there are no values.
    """
    settings: dict[str, list[Any]] = {}
    for text in texts:
        key, values = _split(text, "--set", "KEY=VALUE,VALUE,...")
        if key in settings:
            raise ConfigError(f"--set: {key} stands twice; list all its values once")
        settings[key] = _read(key, values, "--set")
        if any(isinstance(value, dict | list) for value in settings[key]):
            raise ConfigError(f"--set: {key}: values must be numbers or words, got {shown(values)}")
        if len({json.dumps(value) for value in settings[key]}) < len(settings[key]):
            raise ConfigError(f"--set: {key}: a value stands twice in {shown(values)}")
    return settings


def _split(text: str, flag: str, form: str) -> tuple[str, str]:
    """Name and values of `name=value,value,...`."""
    name, _, values = text.partition("=")
    if not name or not all(entry.strip() for entry in values.split(",")):
        raise ConfigError(f"{flag}: expected {form}, got {shown(text)}")
    return name, values


def _read(name: str, values: str, flag: str) -> list[Any]:
    """What values, with commas between them, stand for."""
    try:
        return [yaml.safe_load(entry.strip()) for entry in values.split(",")]
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"{flag}: {name}: values must be numbers or words, got {shown(values)}") from None


_MEASURED_WITH = {
    *(name for name, decision in Periphery.decisions().items() if decision.changes_activity),
    *("weight_bits", "input_coding", "device", "cell", "cell_bits", "programming_states", "r_on_ohm", "r_off_ohm"),
    "activity",
}
"""Settings that decide what activity a layer has, as the first or the last part of a field's path."""


def with_values(design: Design, texts: Sequence[str]) -> Design:
    """The design with other values in some fields, from `name=value` as given with --set; without measured activity.

    Raises:
        ConfigError: If a name is unknown or stands twice, or a value is not allowed.
    """
    sweeps = parse_sweeps(texts, "--set")
    for name, values in sweeps.items():
        if len(values) > 1:
            raise ConfigError(f"--set: {name}: one value, got {len(values)}")
    return swept(design.replace(activity=None), sweeps, "--set")[0][1]


def swept(design: Design, sweeps: dict[str, list[Any]], flag: str = "--sweep") -> list[tuple[dict[str, Any], Design]]:
    """Every combination of the swept values: the settings, and the design with them.

    Args:
        design: What the values are set in.
        sweeps: From `parse_sweeps`.
        flag: With which flag they were given, for messages.

    Raises:
        ConfigError: If a combination breaks a rule of the design, or there are more than `MAX_DESIGNS`.
    """
    count = 1
    for values in sweeps.values():
        count *= len(values)
    if count > MAX_DESIGNS:
        raise ConfigError(f"{flag}: {count} combinations; at most {MAX_DESIGNS} are evaluated in one sweep")
    fields = sweep_fields()
    stale = [name for name in sweeps if {*fields[name][1:2], fields[name][-1]} & _MEASURED_WITH]
    if design.activity is not None and stale:
        raise ConfigError(
            f"{flag}: {stale[0]} changes what the activity of this design was measured with; sweep a design without "
            "`activity`, or measure each of its variants"
        )
    found = []
    for values in itertools.product(*sweeps.values()):
        settings = dict(zip(sweeps, values, strict=True))
        data = design.model_dump()
        # What was not given follows the swept kind of cell, or its table of states.
        data["chip"]["device"] = design.chip.device.model_dump(exclude_unset=True)
        for name, value in settings.items():
            part, *path = fields[name]
            for target in data["periphery"] if part == "periphery" else (data["chip"],):
                for key in path[:-1]:
                    target = target[key]
                target[path[-1]] = value
        where = f"{flag} " + " ".join(f"{name}={value}" for name, value in settings.items())
        found.append((settings, Design.parse(data, where)))
    return found
