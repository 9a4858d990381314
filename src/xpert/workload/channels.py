"""Which channels of a module belong together, found by running it once and following them.

Every value of a map is labelled with the channel of the layer that made it. The labels go through the same operators
as the values: what moves values moves labels, what combines values makes their channels one *unit*, and every layer
starts anew. So sums, concatenations, depthwise layers, squeeze-and-excitation, attention heads, flattened maps and
norms need no rules of their own: what a forward does to values says what belongs together.

A unit is what can only be left out as a whole: output channels of some layers, input channels of others, and the
entries of parameters (norms, biases, position embeddings) between them. An attention head is one unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves, tree_map

from xpert.design import Layer
from xpert.workload.operators import CONVOLUTIONS, MATRIX_PRODUCTS, base_name, kind_of, names
from xpert.workload.recorder import Recorder
from xpert.workload.trace import layers_of, run_traced

_SAME = names(
    "clone _to_copy contiguous copy lift_fresh lift_fresh_copy detach alias _softmax _log_softmax softmax log_softmax "
    "cumsum cumprod native_dropout dropout _safe_softmax _pin_memory"
)
"""Operators of one map that leave every value in its place."""

_BY_CHANNEL = names(
    "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool3d "
    "fractional_max_pool2d upsample_linear1d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa "
    "_upsample_bicubic2d_aa upsample_trilinear3d grid_sampler_2d"
)
"""Operators on the maps of each channel alone."""

_REDUCTIONS = names(
    "mean sum amax amin prod var std var_mean std_mean max min any all norm linalg_vector_norm logsumexp argmax argmin "
    "nansum median count_nonzero"
)

_NO_FUNCTION = "{} is not followed"
_SPREAD = "one value of it goes to several channels"
_DERIVED = "the weights that read it are computed from parameters"
_OUTPUT = "it is the network's output"
_MIXED = "the layer that reads it mixes positions"
_BIG = 1 << 62


@dataclass(frozen=True)
class LayerUnits:
    """The units of a layer's channels; 0 where a channel belongs to none."""

    inputs: NDArray[np.int64]
    """Of every input channel."""
    outputs: NDArray[np.int64]
    """Of every output channel."""


@dataclass(frozen=True)
class Channels:
    """What belongs together in a module. Units are numbers above 0."""

    layers: tuple[Layer, ...]
    """The layers, as `trace` gives them."""

    units: tuple[LayerUnits, ...]
    """The units of every layer's channels."""

    parameters: dict[str, tuple[NDArray[np.int64] | None, ...]]
    """For parameters and buffers that units go through: for every axis the unit of each index, None where none does."""

    fixed: dict[int, str]
    """Units that cannot be left out, and why."""

    blocks: tuple[str, ...]
    """Modules whose output is their input plus what their layers give."""


def follow(module: nn.Module, input_shape: tuple[int, ...]) -> Channels:
    """Follow the channels of a module.

    Args:
        module: See `trace`; on the processor, since indices are looked at.
        input_shape: Of one input without its batch axis.

    Raises:
        ConfigError: See `trace`.
    """
    recorder, output = run_traced(module, input_shape, kind=_Follower)
    layers = layers_of(recorder, output)
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            recorder.fix(recorder.labels(leaf), _OUTPUT)
    return recorder.found(layers)


class _Units:
    """Units as sets of nodes that grow together. Node 0 is none."""

    def __init__(self) -> None:
        self.root = torch.zeros(1, dtype=torch.int64)

    def new(self, count: int) -> Tensor:
        """So many nodes, each a unit of its own."""
        first = len(self.root)
        nodes = torch.arange(first, first + count)
        self.root = torch.cat([self.root, nodes])
        return nodes

    def unite(self, one: Tensor, other: Tensor) -> None:
        """Make one unit of the two nodes in each place; 0 unites with nothing."""
        one, other = self._different(one, other)
        while len(one):
            self.root.scatter_reduce_(0, torch.maximum(one, other), torch.minimum(one, other), "amin")
            while not torch.equal(compressed := self.root[self.root], self.root):
                self.root = compressed
            one, other = self._different(one, other)

    def _different(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        one, other = self.root[one], self.root[other]
        kept = (one != other) & (one > 0) & (other > 0)
        pairs = torch.unique_consecutive(one[kept] * len(self.root) + other[kept])
        return pairs // len(self.root), pairs % len(self.root)


class _Follower(Recorder):
    """A recorder that also follows channels.

    Labels are kept for every storage, so views need nothing.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._units = _Units()
        self._labels: dict[StorageWeakRef, Tensor] = {}
        tensors = [*module.named_parameters(), *module.named_buffers()]
        self._tensors = {name: tensor.detach() for name, tensor in tensors}
        self._axes: dict[tuple[str, int], Tensor] = {}
        self._elements: dict[StorageWeakRef, Tensor] = {}
        self._reasons: dict[int, str] = {}
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._multiplied: tuple[int, Tensor] | None = None
        self._sums: dict[StorageWeakRef, frozenset[StorageWeakRef]] = {}
        self._calls: dict[str, int] = defaultdict(int)
        self._blocks: list[str] = []
        self._operators = 0

    # What the operators do to labels

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._multiplied = None
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        output = super().__torch_dispatch__(func, types, args, kwargs)
        namespace, name = base_name(func)
        storages = {self._storage(tensor) for tensor in given}
        outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        viewed = all(self._storage(tensor) in storages for tensor in outputs) and not func._schema.is_mutable
        if outputs and not viewed and kind_of(func) != "made":
            self._note_sum(name.rstrip("_"), given, outputs[0])
            product = name.rstrip("_") if namespace == "aten" else ""
            if product in CONVOLUTIONS or product in MATRIX_PRODUCTS:
                self._follow_product(product, args, kwargs, output)
            else:
                self._follow(func, name.rstrip("_"), args, kwargs, given, output)
        elif outputs and kind_of(func) == "made" and func._schema.is_mutable:
            self._set(outputs[0], torch.zeros((), dtype=torch.int64))
        self._operators += 1
        if self._operators % 32 == 0:
            for table in (self._labels, self._sums):
                for reference in [reference for reference in table if reference.expired()]:
                    if reference not in self._elements:
                        del table[reference]
        return output

    def labels(self, tensor: Tensor) -> Tensor:
        """The unit of every value of a tensor."""
        reference = self._storage(tensor)
        if reference not in self._labels:
            if reference not in self._parameters or not tensor.dim():
                return torch.zeros((), dtype=torch.int64).expand(tensor.shape)
            size = tensor.untyped_storage().nbytes() // tensor.element_size()
            self._elements[reference] = self._labels[reference] = self._units.new(size)
        flat = self._labels[reference]
        return self._units.root[torch.as_strided(flat, tensor.shape, tensor.stride(), tensor.storage_offset())]

    def _set(self, tensor: Tensor, labels: Tensor) -> None:
        reference = self._storage(tensor)
        size = tensor.untyped_storage().nbytes() // tensor.element_size()
        if reference not in self._labels or len(self._labels[reference]) != size:
            self._labels[reference] = torch.zeros(size, dtype=torch.int64)
        flat = self._labels[reference]
        torch.as_strided(flat, tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(labels)

    def fix(self, labels: Tensor, reason: str) -> None:
        """Keep the units of these labels as they are."""
        for label in torch.unique(labels).tolist():
            if label:
                self._reasons.setdefault(label, reason)

    def _unite_along(self, labels: Tensor) -> Tensor:
        """One unit of all that stands along the last axis; its label, without that axis."""
        top = labels.amax(-1)
        self._units.unite(labels, top.unsqueeze(-1).expand_as(labels))
        return self._units.root[top]

    def _follow(self, func: Any, name: str, args: Any, kwargs: Any, given: list[Tensor], output: Any) -> None:
        made = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        first = made[0]
        if name == "copy":  # into another tensor, see below
            name = "copy_"
        if name == "copy_":
            self._set(args[0], self.labels(args[1]).expand(args[0].shape))
        elif name in ("embedding", "_embedding_bag", "embedding_bag", "_embedding_bag_forward_only"):
            nodes = self._axis_of(args[0], 1)
            self._set(first, torch.zeros((), dtype=torch.int64) if nodes is None else nodes.expand(first.shape))
        elif not self._followed(func, given):
            self._set(first, torch.zeros((), dtype=torch.int64))
        elif "batch_norm" in name:
            vectors = [t for t in args[1:5] if isinstance(t, Tensor)]
            shape = [1, -1] + [1] * (first.dim() - 2)
            self._set(first, self._combined([args[0], *vectors], first.shape, {id(v): shape for v in vectors}))
        elif "group_norm" in name:
            self._set(first, self._group_norm(name, args, first))
        elif "layer_norm" in name or "rms_norm" in name:
            self._set(first, self._combined([args[0], *(t for t in args[2:4] if isinstance(t, Tensor))], first.shape))
        elif name in _SAME and first.shape == given[0].shape:
            self._set(first, self.labels(given[0]))
        elif name in _BY_CHANNEL:
            data = self.labels(args[0])
            over = self._unite_along(data.flatten(2))
            self._set(first, over.reshape(over.shape + (1,) * (first.dim() - 2)).expand(first.shape))
        elif name in _REDUCTIONS and first.numel() < args[0].numel():
            self._set(first, self._reduced(args, kwargs, first))
        elif kind_of(func) == "moved":
            self._move(func, name, args, kwargs, given, made)
        elif _broadcasts([tensor.shape for tensor in given], first.shape):
            self._set(first, self._combined(given, first.shape))
        else:
            self._give_up(name, given, made)

    def _followed(self, func: Any, given: Iterable[Tensor]) -> bool:
        """Whether an operator's values are of channels; what is computed from parameters alone is not followed."""
        if kind_of(func) != "moved" and all(self.origin(tensor) < 0 for tensor in given):
            return False
        return any(bool(self.labels(tensor).any()) for tensor in given if tensor.dim())

    def _give_up(self, name: str, given: Iterable[Tensor], made: Iterable[Tensor]) -> None:
        for tensor in given:
            self.fix(self.labels(tensor), _NO_FUNCTION.format(name))
        for tensor in made:
            self._set(tensor, torch.zeros((), dtype=torch.int64))

    def _move(self, func: Any, name: str, args: Any, kwargs: Any, given: list[Tensor], made: list[Tensor]) -> None:
        """What an operator that moves values makes of the labels: the same, as numbers that it knows."""
        numbers = {id(tensor): self.labels(tensor).double() for tensor in given if tensor.is_floating_point()}
        if not numbers:  # indices and masks
            for tensor in made:
                self._set(tensor, torch.zeros((), dtype=torch.int64))
            return
        args, kwargs = tree_map(lambda leaf: numbers.get(id(leaf), leaf), (args, kwargs))
        if name == "constant_pad_nd":
            args = (*args[:2], 0)
        kwargs.pop("dtype", None)
        try:
            moved = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
        except (RuntimeError, TypeError, NotImplementedError):
            self._give_up(name, given, made)
            return
        for tensor, labels in zip(made, moved):
            self._set(tensor, labels.long() if labels.is_floating_point() else torch.zeros((), dtype=torch.int64))

    def _combined(
        self, given: Sequence[Tensor], shape: Sequence[int], shapes: dict[int, list[int]] | None = None
    ) -> Tensor:
        """Labels of values that are computed from one value of each tensor."""
        found = [self.labels(t).reshape((shapes or {}).get(id(t), list(t.shape))) for t in given]
        found = [labels.reshape([1] * (len(shape) - labels.dim()) + list(labels.shape)) for labels in found]
        found = [labels for labels in found if bool(labels.any())]
        result = torch.zeros(tuple(shape), dtype=torch.int64)
        for labels in sorted(found, key=lambda labels: -labels.numel()):
            spread = [axis for axis, size in enumerate(shape) if labels.shape[axis] != size]
            if not spread:
                self._units.unite(result, labels)
                result = torch.where(result > 0, result, labels)
                continue
            kept = [axis for axis in range(len(shape)) if axis not in spread]
            rows = result.permute(*kept, *spread).flatten(len(kept))
            covered, one = self._of_rows(rows), labels.reshape(rows.shape[:-1])
            result = self._units.root[result]
            if bool(((covered == 0) & (rows > 0).any(-1) & (one > 0)).any()):
                self.fix(one[covered == 0], _SPREAD)
            self._units.unite(covered, one)
            result = torch.where(result > 0, result, labels)
        return self._units.root[result]

    def _group_norm(self, name: str, args: Any, output: Tensor) -> Tensor:
        data, groups = args[0], args[6] if name == "native_group_norm" else args[1]
        vectors = [t for t in (args[1:3] if name == "native_group_norm" else args[2:4]) if isinstance(t, Tensor)]
        if groups > 1:
            self._unite_along(self.labels(data).reshape(len(data) * groups, -1))
        shape = [1, -1] + [1] * (output.dim() - 2)
        return self._combined([data, *vectors], output.shape, {id(v): shape for v in vectors})

    def _reduced(self, args: Any, kwargs: Any, output: Tensor) -> Tensor:
        """Labels of sums and the like over some axes."""
        labels, dims = self.labels(args[0]), kwargs.get("dim", args[1] if len(args) > 1 else None)
        if args and len(args) > 1 and kwargs.get("dim") is None and isinstance(args[1], int | float):
            dims = args[2] if len(args) > 2 and isinstance(args[2], list | tuple) else dims
        axes = [dims] if isinstance(dims, int) else list(dims or range(labels.dim()))
        axes = sorted({axis % labels.dim() for axis in axes})
        kept = [axis for axis in range(labels.dim()) if axis not in axes]
        rows = labels.permute(*kept, *axes).reshape(*[labels.shape[axis] for axis in kept], -1)
        found = self._of_rows(rows)
        return found.reshape(output.shape) if found.numel() == output.numel() else found.new_zeros(())

    def _of_rows(self, rows: Tensor) -> Tensor:
        """Labels of what is computed from all that stands along the last axis.

        Where all of them are computed from the same units, these are an axis that is added up, of any length; where
        they differ, what a value is computed from belongs together.
        """
        top, low = rows.amax(-1), torch.where(rows > 0, rows, _BIG).amin(-1)
        mixed = (top > 0) & (low < top)
        if not bool(mixed.any()):
            return top
        if len(torch.unique(torch.stack([top[mixed], low[mixed]], 1), dim=0)) == 1:
            return torch.where(mixed, 0, top)
        return self._unite_along(rows)

    # Products

    def _matrix(self, weight: Tensor, origin: int) -> int:
        number = super()._matrix(weight, origin)
        self._multiplied = number, weight
        return number

    def _follow_product(self, name: str, args: Any, kwargs: Any, output: Tensor) -> None:
        convolves = name in CONVOLUTIONS
        skipped = 1 if name.startswith(("add", "badd")) else 0
        operands = args[:2] if convolves else args[skipped : skipped + 2]
        others = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and all(t is not o for o in operands)]
        if self._multiplied is None:
            if convolves:
                self._give_up("a convolution of two maps", operands, [output])
                return
            self._set(output, self._of_two_maps(operands[0], operands[1], output))
        elif convolves:
            self._convolved(*self._multiplied, args, output)
        else:
            self._multiply(*self._multiplied, operands, output)
        if others:
            shapes = {}
            if convolves:
                shapes = {id(tensor): [1, -1] + [1] * (output.dim() - 2) for tensor in others}
            self._set(output, self._combined([output, *others], output.shape, shapes))

    def _of_two_maps(self, one: Tensor, other: Tensor, output: Tensor) -> Tensor:
        first, second = self.labels(one), self.labels(other)
        first = first.reshape(-1, *first.shape[-2:]) if first.dim() > 1 else first.reshape(1, 1, -1)
        second = second.reshape(-1, *second.shape[-2:]) if second.dim() > 1 else second.reshape(1, -1, 1)
        self._units.unite(_constant(first, 1), _constant(second, 2))  # along the axis that is added up
        first, second = self._units.root[first], self._units.root[second]
        left, right = self._of_rows(first), self._of_rows(second.transpose(1, 2))
        left, right = left.unsqueeze(2), right.unsqueeze(1)
        left, right = torch.broadcast_tensors(left, right)
        # A value of a head's map and the head itself belong together.
        self._units.unite(left, right)
        return self._units.root[torch.where(left > 0, left, right)].reshape(output.shape)

    def _multiply(self, number: int, weight: Tensor, operands: Sequence[Tensor], output: Tensor) -> None:
        right = weight is operands[1]
        data = self.labels(operands[0] if right else operands[1])
        if weight.dim() == 3 and weight.stride(0) == 0:
            weight = weight[0]
        if weight.dim() == 1:
            weight = weight.unsqueeze(1 if right else 0)
        inputs = outputs = None
        if weight.dim() == 2:
            inputs, outputs = self._axis_of(weight, 0 if right else 1), self._axis_of(weight, 1 if right else 0)
        if inputs is None or outputs is None:
            self.fix(data, _DERIVED)
            self._set(output, torch.zeros((), dtype=torch.int64))
            self._layers.setdefault(number, (data.new_zeros(0), data.new_zeros(0)))
            return
        vectors = data if right or data.dim() < 2 else data.transpose(-1, -2)
        vectors = vectors.reshape(-1, len(inputs))
        label, passing = _constant(vectors, 0), _constant(vectors, 1)
        several = (vectors > 0).any(0) & (label == 0)
        if bool(several.any()) and bool((passing == vectors.amax(1)).all()):
            # Of every channel it reads all positions: it goes on as that channel.
            self.fix(outputs, _MIXED)
            label, made = torch.zeros_like(label), passing.unsqueeze(1).expand(-1, len(outputs))
        else:
            label = self._unite_along(vectors.T) if bool(several.any()) else label
            made = outputs.expand(len(vectors), -1)
        self._read(number, inputs, label, outputs)
        if right:
            self._set(output, made.reshape(output.shape))
        else:
            lead = output.shape[:-2] if output.dim() > 1 else ()
            columns = output.shape[-1] if output.dim() > 1 else 1
            self._set(output, made.reshape(*lead, columns, len(outputs)).transpose(-1, -2).reshape(output.shape))

    def _convolved(self, number: int, weight: Tensor, args: Any, output: Tensor) -> None:
        image, transposed, groups = self.labels(args[0]), bool(args[6]), int(args[8])
        channels = self._unite_along(image.transpose(0, 1).flatten(1))
        outputs = self._axis_of(weight, 1 if transposed else 0)
        inputs = channels.new_zeros(len(channels)) if groups > 1 else self._axis_of(weight, 0 if transposed else 1)
        if inputs is None or outputs is None or (transposed and groups > 1):
            self.fix(image, _DERIVED)
            self._set(output, torch.zeros((), dtype=torch.int64))
            self._layers.setdefault(number, (image.new_zeros(0), image.new_zeros(0)))
            return
        if groups > 1:
            # Of a group of a depthwise or grouped layer all channels belong together: it stays or goes.
            together = torch.cat([channels.reshape(groups, -1), outputs.reshape(groups, -1)], 1)
            if bool((channels == 0).any()):
                self.fix(together, "its channels are the image's")
            self._unite_along(together)
            channels = self._units.root[channels]
        self._read(number, inputs, channels, outputs)
        self._set(output, self._units.root[outputs].reshape(1, -1, *[1] * (output.dim() - 2)).expand(output.shape))

    def _read(self, number: int, nodes: Tensor, labels: Tensor, outputs: Tensor) -> None:
        """Note that a layer's input channels are what arrives."""
        self._units.unite(nodes, labels)
        self.fix(nodes[labels == 0], "it reads what has no channels of its own")
        self._layers.setdefault(number, (labels.clone(), outputs))

    def _axis_of(self, tensor: Tensor, axis: int) -> Tensor | None:
        """Nodes of the indices along an axis of (a part of) a parameter; None if it is none."""
        reference = self._storage(tensor)
        owner = next(
            (
                name
                for name, offset, numel in self._parameters.get(reference, ())
                if offset <= tensor.storage_offset() < offset + numel
            ),
            None,
        )
        if owner is None:
            return None
        parameter = self._tensors[owner]
        places = tensor.storage_offset() - parameter.storage_offset()
        places = places + tensor.stride(axis) * np.arange(tensor.shape[axis])
        order = sorted(range(parameter.dim()), key=lambda own: (-parameter.stride(own), parameter.shape[own] == 1))
        coordinates = {}
        for own in order:
            coordinates[own], places = np.divmod(places, parameter.stride(own))
        changing = [own for own in order if coordinates[own][0] != coordinates[own][-1]]
        if not changing and tensor.dim() == parameter.dim():
            # An axis of length 1: the one in the same place, or in the other one of a transposed matrix.
            same = tensor.shape == parameter.shape and (tensor.dim() > 2 or tensor.stride() == parameter.stride())
            changing = [axis if same else 1 - axis] if tensor.dim() == 2 or same else []
        if len(changing) != 1:
            return None
        (own,) = changing
        if (owner, own) not in self._axes:
            self._axes[owner, own] = self._units.new(parameter.shape[own])
        index = torch.from_numpy(np.ascontiguousarray(coordinates[own]))
        return self._units.root[self._axes[owner, own][index]]

    # Blocks that are added to what enters them

    def _note_sum(self, name: str, given: list[Tensor], output: Tensor) -> None:
        references = [self._storage(tensor) for tensor in given]
        if name == "add" and len(given) == 2 and given[0].shape == given[1].shape:
            self._sums[self._storage(output)] = frozenset(references)
        elif len(given) == 1 and references[0] in self._sums:
            self._sums[self._storage(output)] = self._sums[references[0]]

    def _leave(self, part: nn.Module, arguments: Any, options: Any, output: Any) -> None:
        path = self.path
        self._calls[path] += 1
        read = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        alike = isinstance(output, Tensor) and len(read) == 1 and read[0].shape == output.shape
        if alike and self._storage(read[0]) in self._sums.get(self._storage(output), ()):
            self._blocks.append(path)
        super()._leave(part, arguments, options, output)

    # What was found

    def found(self, layers: tuple[Layer, ...]) -> Channels:
        """The units, once all has run."""
        root = self._units.root
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        axes: dict[str, list[NDArray[np.int64] | None]] = {}
        for (name, axis), nodes in self._axes.items():
            axes.setdefault(name, [None] * len(shapes[name]))[axis] = root[nodes].numpy()
        for reference, nodes in self._elements.items():
            for name, offset, _numel in self._parameters[reference]:
                tensor = self._tensors[name]
                if not tensor.dim() or not tensor.is_floating_point():
                    continue
                own = root[torch.as_strided(nodes, tensor.shape, tensor.stride(), offset)]
                self._place(name, own, axes)
        reasons: dict[int, str] = {}
        for node, reason in self._reasons.items():
            reasons.setdefault(int(root[node]), reason)
        none = np.zeros(0, dtype=np.int64)
        units = []
        for number, layer in enumerate(layers):
            inputs, outputs = self._layers.get(number, (None, None))
            entering = none if inputs is None else root[inputs].numpy()
            leaving = none if outputs is None else root[outputs].numpy()
            if len(entering) != layer.in_channels or len(leaving) != layer.out_channels:
                for unit in {*entering.tolist(), *leaving.tolist()} - {0}:
                    reasons.setdefault(unit, "the layer has other channels than its weights")
                entering, leaving = np.zeros(layer.in_channels, np.int64), np.zeros(layer.out_channels, np.int64)
            units.append(LayerUnits(entering, leaving))
        blocks = tuple(path for path in dict.fromkeys(self._blocks) if self._calls[path] == 1)
        return Channels(layers, tuple(units), {name: tuple(found) for name, found in axes.items()}, reasons, blocks)

    def _place(self, name: str, own: Tensor, axes: dict[str, list[NDArray[np.int64] | None]]) -> None:
        """Along which axis of a parameter its values belong to units."""
        members = torch.unique(own)
        # Nodes that never met another are nobody's; the first of a unit is its own root.
        counts = torch.bincount(self._units.root, minlength=1)
        own = torch.where(counts[own] > 1, own, 0)
        if not bool(own.any()):
            return
        varying = []
        for axis in range(own.dim()):
            rows = own.transpose(0, axis).flatten(1) if own.dim() > 1 else own.unsqueeze(1)
            if bool((rows == rows[:, :1]).all()):
                varying.append(axis)
        if name in axes or not varying:
            for unit in members.tolist():
                self._reasons.setdefault(unit, f"{name} holds it along several axes")
            return
        axis = max(varying, key=lambda axis: own.shape[axis])
        found = own.transpose(0, axis).flatten(1)[:, 0] if own.dim() > 1 else own
        axes[name] = [None] * own.dim()
        axes[name][axis] = found.numpy()


def _constant(labels: Tensor, axis: int) -> Tensor:
    """The label along an axis, without that axis; 0 where it changes."""
    top = labels.amax(axis)
    return torch.where((labels == top.unsqueeze(axis)).all(axis), top, 0)


def _broadcasts(shapes: Iterable[Sequence[int]], shape: Sequence[int]) -> bool:
    try:
        return tuple(torch.broadcast_shapes(*map(tuple, shapes))) == tuple(shape)
    except RuntimeError:
        return False


__all__ = ["Channels", "LayerUnits", "follow"]
