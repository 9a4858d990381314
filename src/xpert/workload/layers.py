"""Layers as matrix-vector work: arrays of shapes, for one network or for a batch of them.

A convolution is a matrix of `matrix_rows` x `matrix_columns` weights (per group) that meets one input vector per output
position; a linear layer is a 1x1 convolution on a 1x1 map. No padding is added here: maps are padded on entry.

A transposed convolution of stride s is a convolution of stride 1 with s x s times the output channels, one set for each
place that an output pixel can have between the inputs (its kernel has `ceil(span / s)` pixels on a side; what is left
of it are zeros). So no zeros are inserted into maps, and an input vector is read once for all places. Source: Shi et
al., arXiv 1609.07009, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from xpert.design import Layer, Network, Work
from xpert.errors import ConfigError

_PASSES: dict[str, tuple[int, int]] = {
    "product": (1, 0),
    "softmax": (3, 1),
    "norm": (4, 0),
    "activation": (0, 1),
    "elementwise": (1, 0),
    "pool": (1, 0),
    "lookup": (0, 0),
}
"""Multiply-accumulates and functions for an operation of each kind of digital work. A softmax finds the largest value,
takes exponentials, adds them up and divides; a norm adds up values and squares, and scales twice. What is done once for
a row (reciprocals) is not counted. Source: the operations' definitions."""


@dataclass(frozen=True)
class DigitalWork:
    """Work of the digital unit after each layer, per image; int64 [*batch, layers]."""

    macs: np.ndarray
    """Multiply-accumulates, additions and comparisons."""
    functions: np.ndarray
    """Values of non-linear functions."""
    reads: np.ndarray
    """Values read from the global buffer."""
    writes: np.ndarray
    """Values written to it."""
    held: np.ndarray
    """Values that it holds at once, at most."""


@dataclass(frozen=True)
class Workload:
    """Shapes of the layers of one or many networks; every array is int64 [*batch, layers]."""

    in_channels: np.ndarray
    """Input channels, all groups together."""
    out_channels: np.ndarray
    """Output channels, all groups together; transposed: for each place of an output between inputs."""
    in_height: np.ndarray
    """Height of the input map with its padding. [pixel]"""
    in_width: np.ndarray
    """Width of the input map with its padding. [pixel]"""
    kernel_height: np.ndarray
    """Kernel height; transposed: of the equivalent convolution. [pixel]"""
    kernel_width: np.ndarray
    """Kernel width; transposed: of the equivalent convolution. [pixel]"""
    positions: np.ndarray
    """Input vectors per image and group: output positions before pooling, of all uses."""
    uses: np.ndarray
    """How often a layer runs per image, one use after the other."""
    reference_positions: np.ndarray
    """What the reference simulator takes for them: `h / stride * w / stride` with the positions at stride 1."""
    multiplies: np.ndarray
    """Multiply-accumulates per image for a pair of an input and an output channel of a group."""
    places: np.ndarray
    """Places of an output pixel between inputs; 1 of all but transposed convolutions."""
    groups: np.ndarray
    """Groups of channels."""
    pool: np.ndarray
    """Pixels of the window of the pooling that follows; 1 is none."""
    averages: np.ndarray
    """1 where this pooling takes averages, 0 where it takes the largest."""
    relu: np.ndarray
    """1 where a ReLU follows."""
    residual: np.ndarray
    """1 where a skip connection is added to the output."""
    digital: DigitalWork | None = None
    """Digital work that follows; None where there is none."""

    @classmethod
    def from_layers(cls, layers: Sequence[Layer]) -> Workload:
        """Layers on crossbars. [layers]"""
        columns = zip(*(_shape_of(layer) for layer in layers), strict=True)
        shapes: dict[str, Any] = {
            name: np.array(column, dtype=np.int64) for name, column in zip(_SHAPES, columns, strict=True)
        }
        digital = None
        if any(layer.after for layer in layers):
            work = zip(*(_sum_of(layer.after) for layer in layers), strict=True)
            digital = DigitalWork(*(np.array(column, dtype=np.int64) for column in work))
        return cls(**shapes, digital=digital)

    @classmethod
    def from_network(cls, network: Network) -> Workload:
        """One network's layers on crossbars, see `on_crossbars`. [layers]"""
        return cls.from_layers(on_crossbars(network))

    @classmethod
    def stack(cls, workloads: Sequence[Workload]) -> Workload:
        """Several networks of equal depth as one batch. [batch, layers]

        Raises:
            ConfigError: If there are none or their depths differ.
        """
        depths = sorted({workload.depth for workload in workloads})
        if len(depths) != 1:
            raise ConfigError(f"a batch needs networks of one depth, got depths {depths}")
        shapes: dict[str, Any] = {name: np.stack([getattr(w, name) for w in workloads]) for name in _SHAPES}
        digital = None
        if any(workload.digital for workload in workloads):
            nothing = np.zeros(workloads[0].shape, dtype=np.int64)
            digital = DigitalWork(
                *(
                    np.stack([getattr(w.digital, f.name) if w.digital else nothing for w in workloads])
                    for f in fields(DigitalWork)
                )
            )
        return cls(**shapes, digital=digital)

    def with_channels(self, in_channels: np.ndarray, out_channels: np.ndarray) -> Workload:
        """The same layers at other widths; arrays broadcast to [*batch, layers]."""
        shape = np.broadcast_shapes(self.shape, np.shape(in_channels), np.shape(out_channels))
        widened = {name: np.broadcast_to(getattr(self, name), shape) for name in _SHAPES}
        widened |= {
            "in_channels": np.broadcast_to(np.asarray(in_channels, dtype=np.int64), shape),
            "out_channels": np.broadcast_to(np.asarray(out_channels, dtype=np.int64), shape),
        }
        return replace(self, **widened)

    def __getitem__(self, index) -> Workload:
        """Part of a batch, or some layers: the index of each array."""
        digital = self.digital
        if digital is not None:
            digital = DigitalWork(*(getattr(digital, f.name)[index] for f in fields(DigitalWork)))
        part: dict[str, Any] = {name: getattr(self, name)[index] for name in _SHAPES}
        return replace(self, digital=digital, **part)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every array, (*batch, layers)."""
        return self.in_channels.shape

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.shape[-1]

    @property
    def kernel_area(self) -> np.ndarray:
        """Pixels of a kernel."""
        return self.kernel_height * self.kernel_width

    @property
    def matrix_rows(self) -> np.ndarray:
        """Rows of a group's weight matrix: the length of an input vector."""
        return self.in_channels // self.groups * self.kernel_area

    @property
    def matrix_columns(self) -> np.ndarray:
        """Weights in a row of a group's matrix: its output channels."""
        return self.out_channels // self.groups

    @property
    def weights(self) -> np.ndarray:
        """Weights, biases not counted; transposed: with the zeros of the equivalent kernel."""
        return self.matrix_rows * self.out_channels

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates per image."""
        return self.in_channels // self.groups * self.out_channels * self.multiplies // self.places


_SHAPES = tuple(f.name for f in fields(Workload) if f.name != "digital")


def on_crossbars(network: Network) -> tuple[Layer, ...]:
    """The layers of a network that crossbars hold; what is digital is work after the layer before (or the first).

    Raises:
        ConfigError: If none is left.
    """
    kept = [layer for layer in network.layers if not layer.digital]
    if not kept:
        raise ConfigError("network.layers: all of them are digital, so that no crossbar is needed")
    if len(kept) == len(network.layers):
        return network.layers
    work: dict[str, list[Work]] = {layer.name: [] for layer in kept}
    owner = kept[0].name
    for layer in network.layers:
        if layer.digital:
            work[owner] += _digitally(layer)
        else:
            owner = layer.name
    return tuple(layer.replace(after=(*layer.after, *work[layer.name])) for layer in kept)


def digital_layers(network: Network) -> list[tuple[Layer, int]]:
    """The layers that are kept off the crossbars, each with the place, among those on them, of the one it counts to."""
    place, found = 0, []
    for layer in network.layers:
        if layer.digital:
            found.append((layer, max(place - 1, 0)))
        else:
            place += 1
    return found


def work_of_digital(layers: Sequence[Layer]) -> DigitalWork:
    """The work of layers that are computed digitally, [layers]."""
    work = zip(*(_sum_of(_digitally(layer)) for layer in layers), strict=True)
    return DigitalWork(*(np.array(column, dtype=np.int64) for column in work))


def _digitally(layer: Layer) -> list[Work]:
    """A layer as work of the digital unit: its products, and what follows them."""
    inputs = layer.in_channels * layer.in_height * layer.in_width * layer.uses
    outputs = layer.out_channels * layer.out_height * layer.out_width * layer.uses
    found = [
        Work(kind="product", operations=layer.macs, reads=inputs + layer.weights, writes=outputs, held=inputs + outputs)
    ]
    for there, kind, reads in (
        (layer.relu, "elementwise", outputs),
        (layer.residual, "elementwise", 2 * outputs),
        (layer.pool != 1, "pool", outputs),
    ):
        if there:
            found.append(Work.parse({"kind": kind, "operations": outputs, "reads": reads, "writes": outputs}))
    return [*found, *layer.after]


def _sum_of(works: Sequence[Work]) -> tuple[int, ...]:
    passes = [(_PASSES[work.kind], work) for work in works]
    return (
        sum(macs * work.operations for (macs, _), work in passes),
        sum(functions * work.operations for (_, functions), work in passes),
        sum(work.reads for work in works),
        sum(work.writes for work in works),
        max((work.held for work in works), default=0),
    )


def _shape_of(layer: Layer) -> tuple[int, ...]:
    stride, padding, pool = layer.stride, layer.padding, layer.pool
    kernel_height, kernel_width, places = layer.kernel_height, layer.kernel_width, 1
    plain = layer.dilation == 1 and layer.kind != "transposed"
    if plain and isinstance(stride, int) and isinstance(padding, int) and isinstance(pool, int):
        # What search spaces make by the thousand: the same as below, without a call.
        down = right = stride
        in_height, in_width = layer.in_height + 2 * padding, layer.in_width + 2 * padding
        height, width, pixels = in_height - kernel_height + 1, in_width - kernel_width + 1, pool * pool
    else:
        (down, right), (top, bottom, left, right_side) = layer.strides, layer.paddings
        in_height, in_width = layer.in_height + top + bottom, layer.in_width + left + right_side
        spans, (pool_height, pool_width) = layer.spans, layer.pools
        height, width, pixels = in_height - spans[0] + 1, in_width - spans[1] + 1, pool_height * pool_width
    if layer.kind == "transposed":
        products = kernel_height * kernel_width * layer.in_height * layer.in_width
        positions = reference = _windows(layer, 0) * _windows(layer, 1)
        places = down * right
        kernel_height, kernel_width = (-(-span // step) for span, step in zip(layer.spans, layer.strides))
        in_height, in_width = _windows(layer, 0) + kernel_height - 1, _windows(layer, 1) + kernel_width - 1
    else:
        positions = ((height - 1) // down + 1) * ((width - 1) // right + 1)
        reference = int(height / down * width / right)
        products = kernel_height * kernel_width * positions
    uses = layer.uses
    return (
        layer.in_channels,
        layer.out_channels * places,
        in_height,
        in_width,
        kernel_height,
        kernel_width,
        positions * uses,
        uses,
        reference * uses,
        # Exact however the kernel of a transposed convolution is filled up: for all places of an output together.
        products * uses,
        places,
        layer.groups,
        pixels,
        int(layer.averages),
        int(layer.relu),
        int(layer.residual),
    )


def _windows(layer: Layer, axis: int) -> int:
    """Input vectors along an axis of a transposed convolution: windows in which some output pixel lies."""
    before, stride = layer.paddings[2 * axis], layer.strides[axis]
    side = (layer.out_height, layer.out_width)[axis]
    return (before + side - 1) // stride - before // stride + 1


__all__ = ["DigitalWork", "Workload", "digital_layers", "on_crossbars", "work_of_digital"]
