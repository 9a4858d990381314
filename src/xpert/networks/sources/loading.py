"""From a source to a module, its input shape and its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xpert.design import Chip, Design, Network, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import quantise
from xpert.networks.sources import Source, parse_source
from xpert.networks.sources.catalogues import from_catalogue
from xpert.networks.sources.codes import Codes, keep_codes
from xpert.networks.sources.exported import from_exported
from xpert.networks.sources.python import from_python
from xpert.networks.sources.weights import fill_from, require_finite
from xpert.workload.trace import trace

Shape = tuple[int, ...]
"""Sizes of one image (channels, height, width), sequence or vector."""


class Made(NamedTuple):
    """What the reader of a kind of source makes."""

    module: nn.Module
    input_shape: Shape | None = None
    untrained: str | None = None
    weight_codes: Mapping[str, Codes] = MappingProxyType({})
    input_codes: Mapping[str, Codes] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network as its source has it."""

    name: str
    """A short name."""

    module: nn.Module
    """In evaluation mode, in float32 on the processor."""

    input_shape: Shape
    """Sizes of its input, without the batch: channels, height and width of an image."""

    untrained: str | None = None
    """Why its weights are no trained ones, where that is known."""

    weight_codes: Mapping[str, Codes] = field(default_factory=dict)
    """Grids of the weights of those layers whose weights the source rounds, by the layers' names."""

    input_codes: Mapping[str, Codes] = field(default_factory=dict)
    """Grids of the inputs of those layers whose inputs the source rounds."""

    digital: tuple[str, ...] = ()
    """Patterns of the names of layers that are kept off the crossbars, see `Network.with_digital`."""

    def design(self, chip: Chip, periphery: Periphery) -> Design:
        """The network on a chip, at the precisions to which its source rounds.

        Args:
            chip: The chip; its weights become as wide as the widest that the source rounds.
            periphery: Of every layer; input precisions become the source's.

        Raises:
            ConfigError: If the network cannot be mapped, or the chip does not allow these precisions.
        """
        network = self.network()
        names = [layer.name for layer in network.layers]
        rounded = [self.weight_codes[name].weight_bits for name in names if name in self.weight_codes]
        if rounded:
            others = [chip.weight_bits] if len(rounded) < len(names) else []
            chip = chip.replace(weight_bits=max(rounded + others))
        bits = [self.input_codes[name].bits if name in self.input_codes else periphery.input_bits for name in names]
        peripheries = [periphery.replace(input_bits=width) for width in bits]
        return Design.homogeneous(network, chip, periphery, name=self.name).replace(periphery=tuple(peripheries))

    def quantised(self, images: Tensor, weight_bits: int) -> nn.Module:
        """The network with quantised layers; see `xpert.networks.quantised.quantise`.

        Args:
            images: Normalised images that show the range of the inputs that the source does not round.
            weight_bits: Weight precision. [bit]

        Raises:
            ConfigError: If a module multiplies by weights as crossbars cannot.
        """
        made = quantise(self.module, images, weight_bits=weight_bits)
        keep_codes(made, self.weight_codes, self.input_codes)
        return made

    def network(self) -> Network:
        """Its layers, as designs hold them.

        Raises:
            ConfigError: If it does not run on such images, computes what crossbars cannot hold, or a pattern of
                `digital` matches no layer.
        """
        layers, shape = trace(self.module, self.input_shape), self.input_shape
        classes = self._outputs() or layers[-1].out_channels
        fields = {"backbone": "custom", "input_shape": shape, "num_classes": max(classes, 2), "layers": layers}
        return Network.parse(fields, self.name).with_digital(*self.digital)

    def _outputs(self) -> int | None:
        """How many numbers it answers an image with, where it answers with a vector."""
        try:
            with torch.no_grad():
                answer = self.module(torch.zeros(1, *self.input_shape))
        except (RuntimeError, TypeError, IndexError, ValueError):
            return None  # it takes integers
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
    if parsed.kind == "table":
        raise ConfigError(f"{source}: a table of layers is no network that computes")
    made = _made(parsed, given, input_shape or (default_shape if parsed.kind in ("onnx", "pt2") else None))
    module = made.module.float().cpu().eval()
    if weights is not None:
        fill_from(module, weights)
    require_finite(module, str(weights) if weights is not None else source)
    shape = input_shape or made.input_shape or default_shape
    if shape is None:
        raise ConfigError(f"{source}: does not say the shape of its images: give --input-shape C,H,W")
    untrained = None if weights is not None else made.untrained
    return LoadedNetwork(parsed.title, module, shape, untrained, made.weight_codes, made.input_codes)


def _made(source: Source, arguments: Mapping[str, Any], input_shape: Shape | None) -> Made:
    if source.kind == "python":
        module = from_python(source, arguments)
        return Made(module, _stated_shape(source, module))
    if source.kind == "onnx":
        from xpert.networks.sources.onnx_file.building import from_onnx

        found = from_onnx(Path(source.place), source.text, arguments, input_shape)
        missing = None if found.missing is None else f"its weights lie in {found.missing}, which is missing"
        return Made(found.module, found.input_shape, missing, found.weight_codes, found.input_codes)
    if source.kind == "pt2":
        return Made(*from_exported(Path(source.place), source.text, arguments, input_shape))
    listed = from_catalogue(source, arguments)
    return Made(listed.module, listed.input_shape, None if listed.trained else "its weights are random: give --weights")


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
