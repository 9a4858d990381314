"""Parts of a chip in files of their own: ADCs, devices, technologies; users' files, and those that come with XPert.

A part file is a YAML (or JSON) mapping of the part's fields. Wherever a config or design holds a part, the path of such
a file or the name of a shipped one may stand in its place; it is read once, and what is written afterwards is the part.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BeforeValidator, ValidationInfo

from xpert.design._base import DataModel, parse_mapping, read_mapping, shown
from xpert.errors import ConfigError

_FOLDERS = {"adc": "adcs", "device": "devices", "technology": "technologies"}
"""Kind of part, which is its model's name in lower case -> folder of the shipped ones."""

PART_KINDS = tuple(_FOLDERS)
"""Kinds of parts."""

Part = TypeVar("Part", bound=DataModel)


def part_names(kind: str) -> tuple[str, ...]:
    """Names of the shipped parts of a kind, sorted."""
    files = (entry.name for entry in resources.files(__name__).joinpath(_FOLDERS[kind]).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def part_text(kind: str, name: str) -> str:
    """A shipped part as text, comments included.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in part_names(kind):
        raise ConfigError(f"{kind}: must be one of {', '.join(part_names(kind))}, got {shown(name)}")
    return resources.files(__name__).joinpath(_FOLDERS[kind], f"{name}.yaml").read_text(encoding="utf-8")


def load_part(model: type[Part], reference: str | Path, folder: Path | None = None) -> Part:
    """A part from a file, or a shipped one.

    Args:
        model: What the part is: `Adc`, `Device` or `Technology`.
        reference: A path (it has a / or ends in .yaml, .yml or .json), or the name of a shipped part.
        folder: What a path starts from; the working directory by default.

    Raises:
        ConfigError: If there is no such part, or it breaks a rule.
    """
    kind, reference = model.__name__.lower(), str(reference)
    if "/" in reference or reference.endswith((".yaml", ".yml", ".json")):
        path = (folder or Path()) / reference
        where, folder = str(path), path.parent
        data = read_mapping(path, f"{kind} file")
    else:
        if reference not in part_names(kind):
            raise ConfigError(
                f"must be a mapping, the path of a YAML file, or one of {', '.join(part_names(kind))}; "
                f"no {kind} is called {shown(reference)}"
            )
        where = f"{kind} {reference}"
        data = parse_mapping(part_text(kind, reference), where, kind)
    part = model.parse(data, where, folder)
    if getattr(part, "source", "not asked for") is None:
        raise ConfigError(f"{where}: source: required in a file of its own: where do the values come from?")
    return part


def part_of(model: type[DataModel]) -> BeforeValidator:
    """A rule for a field that holds a part: where it has a text, `load_part` finds what that stands for."""

    def resolve(given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, str):
            return given
        return load_part(model, given, (info.context or {}).get("folder"))

    return BeforeValidator(resolve)


__all__ = ["PART_KINDS", "load_part", "part_names", "part_of", "part_text"]
