"""From a source to a module, its input shape and its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xpert.design import Network
from xpert.errors import ConfigError
from xpert.networks.sources import Source, parse_source
from xpert.networks.sources.catalogues import from_catalogue
from xpert.networks.sources.python import from_python
from xpert.networks.sources.weights import fill_from, require_finite
from xpert.workload.trace import trace

Shape = tuple[int, ...]
"""Sizes of one image (channels, height, width), sequence or vector."""


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network as its source has it."""

    name: str
    """A short name."""

    module: nn.Module
    """In evaluation mode, in float32 on the processor."""

    input_shape: Shape
    """Sizes of its input, without the batch: channels, height and width of an image."""

    trained: bool
    """Whether its weights are known to be no random ones of the package that made it."""

    def network(self) -> Network:
        """Its layers, as designs hold them.

        Raises:
            ConfigError: If it does not run on such images, or computes what crossbars cannot hold.
        """
        layers = trace(self.module, self.input_shape)
        classes = self._outputs() or layers[-1].out_channels
        return Network(backbone="custom", input_shape=self.input_shape, num_classes=max(classes, 2), layers=layers)

    def _outputs(self) -> int | None:
        """How many numbers it answers an image with, where it answers with a vector."""
        with torch.no_grad():
            answer = self.module(torch.zeros(1, *self.input_shape))
        return answer.shape[1] if isinstance(answer, Tensor) and answer.dim() == 2 else None


def load_network(
    source: str,
    *,
    arguments: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    weights: Path | None = None,
    default_shape: Shape | None = None,
) -> LoadedNetwork:
    """Make the network of a source; initial weights are drawn with seed 0.

    Args:
        source: See `xpert.networks.sources`.
        arguments: What the class or function, or the catalogue's own, is called with, by name.
        input_shape: Sizes of its input, without the batch; the source's own by default.
        weights: Weight file, see `weights.read_state`; by default the source's weights are taken.
        default_shape: Sizes where neither `input_shape` nor the source says it.

    Raises:
        ConfigError: If the source, its arguments or the shape is wrong, or a package is missing.
        DataError: If a file is broken, the weights are another network's or not numbers.
    """
    parsed, given = parse_source(source), dict(arguments or {})
    module, own_shape, trained = _made(parsed, given)
    module = module.float().cpu().eval()
    if weights is not None:
        fill_from(module, weights)
    require_finite(module, str(weights) if weights is not None else source)
    shape = input_shape or own_shape or default_shape
    if shape is None:
        raise ConfigError(f"{source}: does not say the shape of its images: give --input-shape C,H,W")
    return LoadedNetwork(parsed.title, module, shape, trained or weights is not None)


def _made(source: Source, arguments: Mapping[str, Any]) -> tuple[nn.Module, Shape | None, bool]:
    """Module, input shape where it is known, and whether its weights are known not to be random."""
    if source.kind == "python":
        module = from_python(source, arguments)
        return module, _stated_shape(source, module), True
    return from_catalogue(source, arguments)


def _stated_shape(source: Source, module: nn.Module) -> Shape | None:
    """The attribute `input_shape` of a module or its class, if it has one."""
    stated = getattr(module, "input_shape", None)
    if stated is None or callable(stated):
        return None
    try:
        channels, height, width = (int(side) for side in stated)
    except (TypeError, ValueError):
        raise ConfigError(f"{source.text}: its input_shape must be (channels, height, width), got {stated!r}") from None
    return channels, height, width


__all__ = ["LoadedNetwork", "Shape", "load_network"]
