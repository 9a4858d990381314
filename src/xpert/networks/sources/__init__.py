"""Networks of the user's own: from Python code, from catalogues, from files of other tools. No torch here.

A source is one text:

- `path.py:Name`: a class or function of a Python file, which is executed
- `package.module:name`: the same of a module that can be imported
- `timm:NAME`, `torchvision:NAME`: a network of that package, where it is installed
- `file.onnx`: an ONNX or QONNX file
- `file.pt2`: what `torch.export.save` has written
- `NetWork.csv`: NeuroSim's table of layers: no module, and no torch

`load_network` makes a module of it. What files of data bring is read, never executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xpert.errors import ConfigError

if TYPE_CHECKING:
    from xpert.networks.sources.loading import LoadedNetwork, load_network
    from xpert.networks.sources.neurosim import LayerTable

Kind = Literal["python", "timm", "torchvision", "onnx", "pt2", "table"]
"""What a source is read by."""

CATALOGUES: tuple[Kind, ...] = ("timm", "torchvision")
"""Packages whose networks go by their names there."""

_FILES: dict[str, Kind] = {".onnx": "onnx", ".qonnx": "onnx", ".pt2": "pt2", ".csv": "table"}
"""Kinds of file, by the end of their name."""

FORMS = "path.py:Name, package.module:name, timm:NAME, torchvision:NAME, file.onnx, file.pt2, NetWork.csv"
"""The forms of a source, for messages."""


@dataclass(frozen=True)
class Source:
    """A source taken apart."""

    text: str
    """As it was given."""

    kind: Kind
    """What it is read by."""

    place: str
    """File, module, or name in a catalogue."""

    name: str = ""
    """Name within a Python file or module."""

    @property
    def is_file(self) -> bool:
        """Whether its place is the path of a file."""
        return self.kind not in CATALOGUES and (self.kind != "python" or self.place.endswith(".py"))

    @property
    def title(self) -> str:
        """A short name of the network."""
        return self.name or Path(self.place).stem


def find_source(text: str) -> Source | None:
    """A text as a source, or None if it has no source's form."""
    first, colon, rest = text.partition(":")
    for catalogue in CATALOGUES:
        if colon and first == catalogue:
            return Source(text, catalogue, rest)
    kind = _FILES.get(Path(text).suffix.lower())
    if kind is not None:
        return Source(text, kind, text)
    place, colon, name = text.rpartition(":")
    if colon and place and (place.endswith(".py") or all(part.isidentifier() for part in place.split("."))):
        return Source(text, "python", place, name)
    return None


def parse_source(text: str) -> Source:
    """A text as a source.

    Raises:
        ConfigError: If it has no source's form, or names nothing.
    """
    found = find_source(text)
    if found is None:
        hint = f"; name a class or function of it, as in {text}:Net" if text.endswith(".py") else ""
        raise ConfigError(f"{text}: not the source of a network ({FORMS}){hint}")
    if not found.place or (found.kind == "python" and not all(part.isidentifier() for part in found.name.split("."))):
        raise ConfigError(f"{text}: names no network; expected {FORMS}")
    return found


def read_source(
    source: str,
    *,
    arguments: Mapping[str, Any] | None = None,
    input_shape: tuple[int, ...] | None = None,
    weights: Path | None = None,
    default_shape: tuple[int, ...] | None = None,
    digital: tuple[str, ...] = (),
) -> LoadedNetwork | LayerTable:
    """The network of a source, or the layers of a table; see `load_network` and `read_layer_table`.

    Layers whose names match a pattern of `digital` are kept off the crossbars.

    Raises:
        ConfigError: If the source or what is given with it is wrong.
        DataError: If a file is missing or broken.
    """
    if parse_source(source).kind != "table":
        from xpert.networks.sources.loading import load_network

        loaded = load_network(
            source, arguments=arguments, input_shape=input_shape, weights=weights, default_shape=default_shape
        )
        return replace(loaded, digital=digital)
    from xpert.networks.sources.neurosim import read_layer_table

    for name, value in (("input shape", input_shape), ("arguments", arguments), ("weights", weights)):
        if value:
            raise ConfigError(f"{source}: a table of layers takes no {name}")
    return replace(read_layer_table(Path(source)), digital=digital)


def __getattr__(name: str) -> Any:
    if name in ("LoadedNetwork", "load_network"):
        from xpert.networks.sources import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["FORMS", "LoadedNetwork", "Source", "find_source", "load_network", "parse_source", "read_source"]
