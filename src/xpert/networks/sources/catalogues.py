"""Networks of packages that are catalogues of networks, by their names there."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from xpert.errors import ConfigError
from xpert.networks.sources import Source
from xpert.networks.sources.python import called, described


class Listed(NamedTuple):
    """A network of a catalogue."""

    module: nn.Module
    """Freshly initialised, unless the arguments ask for trained weights."""

    input_shape: tuple[int, ...]
    """Channels, height and width of the images that it was made for."""

    trained: bool
    """Whether the arguments asked for trained weights."""


def from_catalogue(source: Source, arguments: Mapping[str, Any]) -> Listed:
    """A network of timm or torchvision.

    Args:
        source: Package, and the name of the network in it.
        arguments: What the package's own function for it takes besides the name, such as `num_classes`.

    Raises:
        ConfigError: If the package is missing or cannot be loaded, or has no such network or arguments.
    """
    return {"timm": _timm, "torchvision": _torchvision}[source.kind](source, arguments)


def _timm(source: Source, arguments: Mapping[str, Any]) -> Listed:
    timm = _package("timm", source)
    known: list[str] = timm.list_models()
    name = source.place
    if name.partition(".")[0] not in known:
        raise ConfigError(f"{source.text}: timm has no network {name!r}{_similar(name, known)}")
    made = called(source.text, _bound(timm.create_model, name), arguments)
    shape = tuple(getattr(made, "default_cfg", {}).get("input_size", (3, 224, 224)))
    # Networks for other sizes are made with `img_size`, those for other images with `in_chans`.
    size = arguments.get("img_size")
    if size is not None:
        shape = (shape[0], *((size, size) if isinstance(size, int) else tuple(size)))
    return Listed(made, (arguments.get("in_chans", shape[0]), *shape[1:]), bool(arguments.get("pretrained")))


def _torchvision(source: Source, arguments: Mapping[str, Any]) -> Listed:
    models = _package("torchvision.models", source)
    name = source.place
    known: list[str] = models.list_models(module=models)  # not those that find objects or read videos
    if name not in known:
        raise ConfigError(f"{source.text}: torchvision has no classifier {name!r}{_similar(name, known)}")
    made = called(source.text, _bound(models.get_model, name), arguments)
    weights = next(iter(models.get_model_weights(name)), None)
    side = weights.transforms().crop_size[0] if weights is not None else 224
    size = arguments.get("image_size", side)
    return Listed(made, (3, size, size), arguments.get("weights") is not None)


def _bound(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def make(**arguments: Any) -> Any:
        return function(name, **arguments)

    return make


def _package(name: str, source: Source) -> ModuleType:
    package = name.partition(".")[0]
    # torchvision 0.(n + 15) belongs to torch 2.n; another one fails when it is loaded, or brings another torch.
    vision = f"torchvision==0.{int(torch.__version__.split('.')[1]) + 15}.*"
    install = f'pip install {"timm " if package == "timm" else ""}"{vision}", from where torch {torch.__version__} came'
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{source.text}: {error.name} is not installed: {install}") from None
    except Exception as error:  # noqa: BLE001 - another package's code
        raise ConfigError(f"{source.text}: {package} cannot be loaded: {described(error)}; {install}") from None


def _similar(name: str, known: list[str]) -> str:
    similar = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {', '.join(similar)}?" if similar else ""


__all__ = ["Listed", "from_catalogue"]
