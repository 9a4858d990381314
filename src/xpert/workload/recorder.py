"""Watches every operator that a module runs: which products it computes, and what came from what."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xpert.design.network import both_sides
from xpert.errors import ConfigError
from xpert.workload.operators import CONVOLUTIONS, CUT_AT_ZERO, MATRIX_PRODUCTS, base_name, kind_of, words_for

WEIGHT, MADE, FOREIGN = -1, -2, -3
"""Where a constant comes from: parameters and buffers alone, made while the module runs, from elsewhere."""

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

_AVERAGES = ("avg", "mean")


@dataclass
class Node:
    """One operator that computed something from the input."""

    kind: str
    """`input`, `layer`, `product`, or a `Kind`."""
    inputs: tuple[int, ...]
    """Nodes that it reads."""
    numel: int
    """Values that it gives."""
    reads: int = 0
    """Values that it reads which come from the input."""
    operations: int = 0
    """Multiply-accumulates of a product, values that pass through anything else."""
    layer: int = -1
    """Of a layer: its number."""
    spatial: tuple[int, int] = (1, 1)
    """Height and width of a pooled map. [pixel]"""
    window: tuple[int, int] = (1, 1)
    """By how much pooling shrinks the map; (1, 1) where it does not by a whole number."""
    left: int = 1
    """Pixels of a map after pooling."""
    average: bool = False
    """Whether pooling takes averages."""
    scalar: bool = False
    """Whether an affine function multiplies all values by one number."""
    pads: tuple[int, int, int, int] | None = None
    """Zeros that are added at the top, bottom, left and right of maps, where nothing else is done."""


@dataclass
class Product:
    """What a weight matrix was multiplied with, once."""

    node: int
    """Its node."""
    fields: dict[str, Any]
    """Of a `Layer`, but for name and uses."""
    uses: int
    """Maps that it ran on at once."""
    macs: int
    """Multiply-accumulates."""
    out_side: tuple[int, int]
    """Height and width of the map that was seen. [pixel]"""
    linear: bool
    """Whether it is a plain matrix product, of which the positions add up."""


@dataclass
class Matrix:
    """Weights that crossbars may hold, and all that was done with them."""

    name: str
    products: list[Product] = field(default_factory=list)


@dataclass
class _Frame:
    """A module that runs."""

    path: str
    is_layer: bool
    derived: int = 0
    """Weights derived from parameters that it has multiplied with."""


class Recorder(TorchDispatchMode):
    """Records the products of a module, and a graph of what lies between them.

    Values are followed by their storage, which views share.

    Args:
        module: What will run.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch would import its compiler, a second of work, to tell it to leave this mode alone; nothing is compiled.
        return False

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.matrices: list[Matrix] = []
        self._frames = [_Frame("", isinstance(module, _LAYERS))]
        self._origin: dict[StorageWeakRef, int] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._held: list[Tensor] = []
        self._parameters: dict[StorageWeakRef, list[tuple[str, int, int]]] = {}
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            reference = self._storage(tensor, name)
            self._origin[reference] = WEIGHT
            self._parameters.setdefault(reference, []).append((name, tensor.storage_offset(), tensor.numel()))

    @property
    def path(self) -> str:
        """Name of the module that runs."""
        return self._frames[-1].path or "module"

    def feed(self, image: Tensor) -> None:
        """Say which tensor is the input."""
        self.nodes.append(Node("input", (), image.numel()))
        self._origin[self._storage(image)] = len(self.nodes) - 1

    def origin(self, tensor: Tensor) -> int:
        """The node that a tensor comes from, or `WEIGHT`, `MADE` or `FOREIGN`."""
        return self._origin.get(self._storage(tensor), FOREIGN)

    @contextlib.contextmanager
    def watch(self, module: nn.Module) -> Iterator[None]:
        """Record while the module runs."""
        handles = []
        for name, part in module.named_modules():
            if not name or isinstance(part, torch.jit.ScriptModule):  # which takes no hooks; its operators are seen
                continue
            handles.append(part.register_forward_pre_hook(self._enter(name), with_kwargs=True))
            handles.append(part.register_forward_hook(self._leave, with_kwargs=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        def enter(part: nn.Module, arguments: Any, options: Any) -> None:
            self._frames.append(_Frame(name, isinstance(part, _LAYERS)))

        return enter

    def _leave(self, part: nn.Module, arguments: Any, options: Any, output: Any) -> None:
        given = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        read = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        lost = given and all(self.origin(tensor) == FOREIGN for tensor in given)
        if lost and any(self.origin(tensor) >= 0 for tensor in read):
            raise ConfigError(f"{self.path}: computes outside torch, where its products cannot be seen")
        self._frames.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        namespace, name = base_name(func)
        product = name.rstrip("_") if namespace == "aten" else ""
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        origins = [self.origin(tensor) for tensor in read]
        before = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
        output = func(*args, **kwargs)
        if product in MATRIX_PRODUCTS or product in CONVOLUTIONS:
            node = self._product(product, args, kwargs, output)
        elif any(origin >= 0 for origin in origins):
            node = self._other(func, name, args, kwargs, read, origins, before, output)
        else:
            node = None
        if node is None:
            self._know(output, self._constant(func, origins))
        elif node >= 0:
            self._know(output, node)
        return output

    def _constant(self, func: Any, origins: list[int]) -> int:
        """Where the result of constants comes from."""
        if not origins or kind_of(func) == "made":
            return MADE
        return FOREIGN if FOREIGN in origins else min(origins)

    def _know(self, output: Any, node: int) -> None:
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                reference = self._storage(tensor)
                # A view of weights stays theirs, whatever runs over it.
                if node >= 0 or reference not in self._origin or self._origin[reference] != WEIGHT:
                    self._origin[reference] = node

    def _storage(self, tensor: Tensor, name: str = "") -> StorageWeakRef:
        try:
            return StorageWeakRef(tensor.untyped_storage())
        except (NotImplementedError, RuntimeError):
            raise ConfigError(
                f"{name or self.path}: tensors without memory of their own (sparse ones) cannot be traced"
            ) from None

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _other(
        self,
        func: Any,
        name: str,
        args: Any,
        kwargs: Any,
        read: list[Tensor],
        origins: list[int],
        before: Any,
        output: Any,
    ) -> int | None:
        """The node of an operator that is no product, None where its result is constant; -1: nothing changes."""
        kind = kind_of(func)
        if kind is None:
            raise ConfigError(f"{self.path}: {words_for(func)} cannot be mapped, and has no price as digital work")
        if kind == "made":  # in place it may be a part of a map that is set
            return -1 if name.endswith("_") else None
        given = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        inputs = tuple(dict.fromkeys(origin for origin in origins if origin >= 0))
        if func.is_view or not given:
            return -1 if func.is_view else None
        numel = sum(tensor.numel() for tensor in given) if kind == "moved" else given[0].numel()
        data = sum(tensor.numel() for tensor, origin in zip(read, origins) if origin >= 0)
        node = Node(kind, inputs, numel, reads=data, operations=max(numel, max(t.numel() for t in read)))
        if kind == "moved":
            node.operations = 0
            if name == "constant_pad_nd":
                node.pads = _border(args, kwargs)
            if name == "copy_" and args[0].numel() < args[0].untyped_storage().nbytes() // args[0].element_size():
                node.inputs = tuple(dict.fromkeys((*inputs, *(o for o in [self.origin(args[0])] if o >= 0))))
        elif kind == "affine":
            node = self._affine(name, args, node, read, origins)
        elif kind == "relu" and name in CUT_AT_ZERO and not _cuts_at_zero(name, args, kwargs):
            node.kind = "elementwise"
        elif kind == "pool":
            node = _pooling(name, args, kwargs, before, tuple(given[0].shape), node)
        elif kind == "lookup":
            node.operations, node.reads = numel, numel
        return self._add(node)

    def _affine(self, name: str, args: Any, node: Node, read: list[Tensor], origins: list[int]) -> Node:
        """Sums and products of values, and batch norm with constant statistics."""
        if "norm" in name:
            node.kind = "norm" if any(argument is True for argument in args[3:6]) else "affine"
            return node
        both = len(args) > 1 and isinstance(args[1], Tensor)
        if both and all(origin >= 0 for origin in origins[:2]):
            node.kind = "sum" if name in ("add", "add_", "sub", "sub_") else "elementwise"
            return node
        node.scalar = name.rstrip("_") in ("mul", "div", "neg") and (not both or min(t.numel() for t in read) == 1)
        if both and origins[0] < 0 and name.startswith("div"):
            node.kind = "activation"  # a constant divided by values
        return node

    def _product(self, name: str, args: Any, kwargs: Any, output: Tensor) -> int | None:
        """The node of a matrix product; None where its result is constant, and takes no work per image."""
        is_convolution = name in CONVOLUTIONS
        if is_convolution:
            operands = args[0], args[1]
        else:
            skipped = 1 if name.startswith(("add", "badd")) else 0
            operands = args[skipped], args[skipped + 1]
        origins = [self.origin(tensor) for tensor in operands]
        bias = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and all(t is not o for o in operands)]
        added = tuple(self.origin(tensor) for tensor in bias if self.origin(tensor) >= 0)
        if all(origin >= 0 for origin in origins) or (is_convolution and origins[1] >= 0):
            work = _macs(is_convolution, args, operands, output)
            reads = sum(tensor.numel() for tensor in operands)
            inputs = tuple(origin for origin in origins if origin >= 0)
            return self._sum_with(added, self._add(Node("product", inputs, output.numel(), reads, work)), output)
        data, weight = operands
        if is_convolution:
            weight_origin, data_origin = origins[1], origins[0]
        else:
            # The data are what came from the image, or else what was made: the first state of a recurrent cell.
            second = origins[1] >= 0 or (origins[0] in (WEIGHT, FOREIGN) and origins[1] == MADE)
            if second:
                data, weight = weight, data
            data_origin, weight_origin = (origins[1], origins[0]) if second else (origins[0], origins[1])
        if data_origin < 0:
            if FOREIGN in origins:
                raise ConfigError(f"{self.path}: a product of tensors of unknown origin (neither input nor parameters)")
            if data_origin == weight_origin and not self._frames[-1].is_layer:
                return None
        number = self._matrix(weight, weight_origin)
        inputs = (data_origin,) if data_origin >= 0 else ()
        node = self._add(Node("layer", inputs, output.numel(), layer=number))
        macs = _macs(is_convolution, args, operands, output)
        if is_convolution:
            product = self._convolution(node, macs, args, output)
            source = self.nodes[data_origin] if data_origin >= 0 else None
            if source is not None and source.pads is not None and source.numel == data.numel() and data.dim() < 5:
                product.fields["pad_node"] = data_origin
        else:
            product = _matrix_product(node, macs, data, weight, weight is operands[1])
        self.matrices[number].products.append(product)
        return self._sum_with(added, node, output)

    def _sum_with(self, added: tuple[int, ...], node: int, output: Tensor) -> int:
        """The node of a product to which other values are added, as `addmm` does."""
        if not added:
            return node
        numel = output.numel()
        return self._add(Node("sum", (node, *added), numel, reads=2 * numel, operations=numel))

    def _convolution(self, node: int, macs: int, args: Any, output: Tensor) -> Product:
        image, weight, _, stride, padding, dilation, transposed, added, groups = args[:9]
        axes, uses = list(range(weight.dim() - 2)), len(image)

        def along(values: Any) -> list[int]:
            values = [int(value) for value in values]
            return values * (weight.dim() - 2) if len(values) == 1 else values

        borders = along(padding)
        if len(axes) > 2:
            # An axis along which nothing is added up is so many maps.
            alone = [axis for axis in axes if weight.shape[2 + axis] == 1 and not borders[axis]]
            if len(axes) > 3 or not alone or transposed:
                raise ConfigError(f"{self.path}: a {len(axes)}-d convolution cannot be mapped")
            axes.remove(alone[-1])
            uses *= output.shape[2 + alone[-1]]

        def pair(values: Any, missing: int) -> tuple[int, int]:
            values = [values[axis] for axis in axes]
            return (missing, values[0]) if len(values) == 1 else (values[0], values[1])

        down, right = pair(borders, 0)
        height, width = pair(image.shape[2:], 1)
        kernel_height, kernel_width = pair(weight.shape[2:], 1)
        fields = {
            "kind": "transposed" if transposed else "conv",
            "in_channels": image.shape[1],
            "out_channels": weight.shape[1] * groups if transposed else weight.shape[0],
            "in_height": height,
            "in_width": width,
            "kernel_height": kernel_height,
            "kernel_width": kernel_width,
            "stride": pair(along(stride), 1),
            "padding": (down, down, right, right),
            "dilation": pair(along(dilation), 1),
            "groups": int(groups),
        }
        if transposed:
            fields["output_padding"] = pair(along(added), 0)
        return Product(node, fields, uses=uses, macs=macs, out_side=pair(output.shape[2:], 1), linear=False)

    def _matrix(self, weight: Tensor, origin: int) -> int:
        """Number of a weight matrix."""
        reference, frame = self._storage(weight), self._frames[-1]
        key: tuple[Any, ...] = (reference, weight.storage_offset(), weight.numel())
        if key in self._numbers:
            return self._numbers[key]
        name = None
        for parameter, offset, numel in self._parameters.get(reference, ()):
            if offset <= weight.storage_offset() < offset + numel:
                owner, _, attribute = parameter.rpartition(".")
                name = (owner or "module") if attribute == "weight" else parameter
                break
        if name is None and origin != MADE:
            # Derived from parameters anew whenever the module runs, as by weight norm.
            derived = (frame.path, frame.derived)
            frame.derived += 1
            if derived in self._numbers:
                self._numbers[key] = self._numbers[derived]
                self._held.append(weight)
                return self._numbers[key]
            self._numbers[derived] = len(self.matrices)
        name = name or self.path
        names = {matrix.name for matrix in self.matrices}
        if name in names:
            name = next(f"{name}.{count}" for count in range(1, len(names) + 2) if f"{name}.{count}" not in names)
        self._numbers[key] = len(self.matrices)
        self._held.append(weight)  # so that no other storage takes its place
        self.matrices.append(Matrix(name))
        return self._numbers[key]


def _matrix_product(node: int, macs: int, data: Tensor, weight: Tensor, right: bool) -> Product:
    """A product of matrices: the weights are [rows, outputs] on the right or [outputs, rows] on the left."""
    batch = weight.shape[0] if weight.dim() == 3 else data.shape[0] if data.dim() == 3 else 1
    if weight.dim() == 1:
        rows, outputs = weight.shape[0], 1
    else:
        rows, outputs = weight.shape[-2:] if right else weight.shape[:-3:-1]
    vectors = macs // (rows * outputs * batch)
    shared = weight.dim() == 3 and weight.stride(0) == 0
    groups = 1 if shared else batch
    vectors = vectors * batch if shared else vectors
    fields = {
        "kind": "conv",
        "in_channels": groups * rows,
        "out_channels": groups * outputs,
        "in_height": vectors,
        "groups": groups,
    }
    return Product(node, fields, uses=1, macs=macs, out_side=(vectors, 1), linear=True)


def _macs(is_convolution: bool, args: Any, operands: tuple[Tensor, Tensor], output: Tensor) -> int:
    """Multiply-accumulates of a product."""
    if not is_convolution:
        return operands[0].numel() // (operands[0].shape[-1] or 1) * operands[1].numel() // _batch(operands)
    image, weight = operands
    if args[6]:  # transposed: every input meets a kernel
        return image.numel() * (weight.numel() // weight.shape[0])
    return output.numel() * (weight.numel() // weight.shape[0])


def _batch(operands: tuple[Tensor, Tensor]) -> int:
    return operands[0].shape[0] if operands[0].dim() == 3 else 1


def _border(args: Any, kwargs: Any) -> tuple[int, int, int, int] | None:
    """Zeros at the top, bottom, left and right of maps; None for other paddings."""
    image, pads = args[0], [int(pad) for pad in args[1]]
    value = args[2] if len(args) > 2 else kwargs.get("value", 0)
    spatial = image.dim() - 2
    if value != 0 or min(pads) < 0 or len(pads) > 2 * min(spatial, 2) or not pads:
        return None
    left, right, top, bottom = (*pads, 0, 0)[:4]
    return top, bottom, left, right


def _cuts_at_zero(name: str, args: Any, kwargs: Any) -> bool:
    """Whether values below zero become zero."""
    low = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("min_val"))
    if name.startswith("threshold"):
        return low == 0 and args[2] == 0
    return isinstance(low, int | float) and low == 0


def _pooling(name: str, args: Any, kwargs: Any, before: tuple[int, ...], after: tuple[int, ...], node: Node) -> Node:
    """What pooling does to a map [n, channels, height, width]."""
    node.average = any(word in name for word in _AVERAGES)
    if name in ("mean", "amax"):
        axes = args[1] if len(args) > 1 else kwargs.get("dim")
        axes = [axes] if isinstance(axes, int) else list(axes or range(len(before)))
        axes = sorted(axis % len(before) for axis in axes)
        if 0 in axes or len(before) - len(axes) != 2:  # all but images and channels
            node.kind = "elementwise"
            return node
        sides = [before[axis] for axis in axes]
        node.spatial = node.window = (sides[0], math.prod(sides[1:]))
        node.kind = "pool" if math.prod(sides) > 1 else "moved"
        return node
    if "3d" in name:
        return node
    node.spatial, node.left = (before[-2], before[-1]), after[-2] * after[-1]
    if "adaptive" in name:
        if before[-2] % after[-2] == 0 and before[-1] % after[-1] == 0:
            node.window = (before[-2] // after[-2], before[-1] // after[-1])
        node.kind = "pool" if before[-2:] != after[-2:] else "moved"
        return node
    kernel = both_sides(args[1] if len(args) > 1 else kwargs["kernel_size"])
    stride = args[2] if len(args) > 2 else kwargs.get("stride")
    node.window = both_sides(stride) if stride else kernel
    node.operations = node.numel * kernel[0] * kernel[1]
    return node


__all__ = ["Matrix", "Node", "Product", "Recorder"]
