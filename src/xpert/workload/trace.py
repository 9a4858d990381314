"""The layers of any torch module, found by running it once and watching what it computes."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from xpert.design import Layer
from xpert.errors import ConfigError
from xpert.workload.recorder import Matrix, Product, Recorder

_WORK = {
    "product": "product",
    "softmax": "softmax",
    "norm": "norm",
    "activation": "activation",
    "elementwise": "elementwise",
    "affine": "elementwise",
    "sum": "elementwise",
    "relu": "elementwise",
    "pool": "pool",
    "lookup": "lookup",
}
"""Kind of a node that belongs to no layer -> kind of digital work."""


def trace(module: nn.Module, input_shape: tuple[int, ...], *, dtype: torch.dtype | None = None) -> tuple[Layer, ...]:
    """The weight matrices of a module in the order in which they first run, with what follows each.

    The module runs once, in evaluation mode, on an input of zeros, and every operator is seen that it ends in, however
    it is written. So what the layers say is what ran: every matrix product is a layer's, or digital work of two maps
    that multiply each other, or refused by name; and each layer's output is of the size that was seen.

    - Products with one matrix are one layer. A recurrent layer has one for the inputs of all steps and one for the
      states, which is used in every step.
    - A layer that runs several times, or on several maps at once (frames folded into the batch), has so many `uses`.
      Positions of linear layers add up: one that runs at n positions is a 1x1 convolution on an n x 1 map.
    - ReLU, leaky ReLU or ReLU6 sets `relu` of the layers whose whole output reaches it.
    - Pooling multiplies `pool` where nothing but the pooled map goes on; overlapping windows count by their stride, a
      global average by the map. What is pooled more than once counts as averaged if an average is among it.
    - A sum of two maps sets `residual` of the layer among its sources that ran last; a ReLU after it is that layer's.
    - Batch norm, and whatever else scales and shifts a layer's output by constants, is part of its weights.
    - All else is digital work of the layer that ran last, `after`.

    Products of parameters alone (spectral norm, for instance) need no image and are not counted, except within a
    linear layer or convolution.

    Args:
        module: Any module that takes one tensor [1, *input_shape]; its state is left as it was. On the meta device
            nothing is computed.
        input_shape: Of one input without its batch axis: channels, height and width of an image, for instance.
        dtype: Of the input; by default that of the module's parameters, or int64 where these are embeddings that take
            nothing else.

    Raises:
        ConfigError: If the module does not run on such an input, has no layer, or computes what can be neither mapped
            nor priced.
    """
    return layers_of(*run_traced(module, input_shape, dtype))


def layers_of(recorder: Recorder, output: Any) -> tuple[Layer, ...]:
    """The layers of a module that has run; see `trace`.

    Args:
        recorder: What was seen.
        output: What the module returned.

    Raises:
        ConfigError: See `trace`.
    """
    outputs = {recorder.origin(leaf) for leaf in tree_leaves(output) if isinstance(leaf, Tensor)}
    if outputs and max(outputs) < 0:
        raise ConfigError("what the module returns does not come from its input, or is computed outside torch")
    if not recorder.matrices:
        raise ConfigError("the module has no convolution or linear layer")
    return _Graph(recorder, outputs).layers()


R = TypeVar("R", bound=Recorder)


def run_traced(
    module: nn.Module, input_shape: tuple[int, ...], dtype: torch.dtype | None = None, kind: type[R] = Recorder
) -> tuple[R, Any]:
    """What was seen of a module, and what it returned.

    Args:
        module: See `trace`.
        input_shape: See `trace`.
        dtype: See `trace`.
        kind: What watches it.

    Raises:
        ConfigError: See `trace`.
    """
    if not input_shape or any(not isinstance(size, int) or size < 1 for size in input_shape):
        raise ConfigError(f"input_shape must be sizes of at least 1, got {tuple(input_shape)}")
    tensors = [*module.parameters(), *module.buffers()]
    if lazy := [name for name, tensor in module.named_parameters() if nn.parameter.is_lazy(tensor)]:
        raise ConfigError(f"{lazy[0]}: has no shape yet; run the module once before it is traced")
    number = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())
    device = tensors[0].device if tensors else torch.device("cpu")
    tried = [dtype] if dtype is not None else [number, torch.int64]
    if dtype is None and not any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules()):
        tried = [number]
    for attempt, number in enumerate(tried, start=1):
        recorder = kind(module)
        image = torch.zeros(1, *input_shape, device=device, dtype=number)
        recorder.feed(image)
        try:
            with _as_traced(module), recorder.watch(module):
                return recorder, module(image)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a module of the user's own raises
            if attempt == len(tried):
                shape = "x".join(map(str, input_shape))
                kept = (RuntimeError, TypeError, IndexError, ValueError)
                reason = ("" if type(error) in kept else f"{type(error).__name__}: ") + " ".join(str(error).split())
                raise ConfigError(f"the module does not run on an image of {shape}: {reason}") from None
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def _as_traced(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, in which fused kernels do not hide products, and layers compute in float."""
    modes = {part: part.training for part in module.modules()}
    quantised = [part for part in modes if getattr(part, "quantised", None) is True]
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        module.eval()
        torch.backends.mha.set_fastpath_enabled(False)
        for part in quantised:
            part.quantised = False  # type: ignore[assignment]
        with (
            torch.no_grad(),
            _without_onednn(),
            torch.backends.cudnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for part in quantised:
            part.quantised = True  # type: ignore[assignment]
        for part, training in modes.items():
            part.training = training


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    """Recurrent layers as the products that they are made of."""

    def switch(*flags: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of processors that lack one of its formats
            return torch.backends.mkldnn.set_flags(*flags)

    before = switch(False)
    try:
        yield
    finally:
        switch(*before)


class _Graph:
    """Gives what was seen to the layers.

    Args:
        recorder: What was seen.
        outputs: Nodes that the module returned.
    """

    def __init__(self, recorder: Recorder, outputs: set[int]) -> None:
        self.nodes = recorder.nodes
        self.matrices = recorder.matrices
        self.readers: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                self.readers[source].append(index)
        self.outputs = outputs
        # For every node the products whose outputs are in it, and the layer that ran last.
        self.direct: list[frozenset[int]] = []
        self.last: list[int] = []
        self.fresh: list[bool] = []
        for index, node in enumerate(self.nodes):
            read = node.inputs
            if node.kind in ("elementwise", "sum"):  # what is spread over a map is no part of it
                read = [source for source in read if self.nodes[source].numel == node.numel] or read
            sources = frozenset[int]().union(*(self.direct[source] for source in read))
            last = max((self.last[source] for source in node.inputs), default=-1)
            fresh = bool(node.inputs) and all(self.fresh[source] for source in node.inputs)
            if node.kind == "layer":
                sources, last, fresh = frozenset({index}), node.layer, True
            elif node.kind in ("input", "product"):
                sources, fresh = frozenset(), False
            elif node.kind == "sum":
                sources, fresh = frozenset({max(sources)}) if sources else sources, False
            elif node.kind not in ("affine", "moved"):
                fresh = False
            self.direct.append(sources)
            self.last.append(last)
            self.fresh.append(fresh)

    def layers(self) -> tuple[Layer, ...]:
        """The layers with all that follows them."""
        fields: list[dict[str, Any]] = [self._shape(matrix) for matrix in self.matrices]
        pools = self._pools()
        work: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        relu, residual = [0] * len(fields), [0] * len(fields)

        def add(index: int) -> None:
            node, kind = self.nodes[index], _WORK[self.nodes[index].kind]
            entry = work[max(self.last[index], 0), kind]
            for place, count in enumerate((node.operations, node.reads, node.numel)):
                entry[place] += count
            entry[3] = max(entry[3], node.reads + node.numel)

        taken = {index for chain in pools.values() for index in chain}
        for index, node in enumerate(self.nodes):
            if node.kind in ("input", "layer", "moved") or index in taken:
                continue
            sizes = {source: self._size_at(source, index, pools) for source in self.direct[index]}
            whole = bool(sizes) and sum(sizes.values()) == node.numel
            if node.kind == "affine" and (self.fresh[self._single(index)] or node.scalar):
                continue
            if node.kind == "relu" and whole:
                for source in sizes:
                    relu[self.nodes[source].layer] += self.nodes[source].numel
            elif node.kind == "sum" and whole:
                (source,) = sizes
                residual[self.nodes[source].layer] += self.nodes[source].numel
            else:
                add(index)
        made = []
        for number, (matrix, found) in enumerate(zip(self.matrices, fields)):
            outputs = sum(self.nodes[product.node].numel for product in matrix.products)
            for name, count in (("relu", relu[number]), ("residual", residual[number])):
                found[name] = count == outputs
                if count not in (0, outputs):  # of some uses only, or more than once
                    more = count - outputs if count > outputs else count
                    found[name] = count > outputs
                    entry = work[number, "elementwise"]
                    entry[:3] = [present + more for present in entry[:3]]
            found |= self._pooled(matrix, pools)
            found["after"] = [
                {"kind": kind, **dict(zip(("operations", "reads", "writes", "held"), counts, strict=True))}
                for (layer, kind), counts in sorted(work.items())
                if layer == number
            ]
            layer = Layer.parse(found, matrix.name)
            self._check(layer, matrix)
            made.append(layer)
        return tuple(made)

    def _single(self, index: int) -> int:
        """The node that a function of one map reads."""
        return self.nodes[index].inputs[0]

    def _shape(self, matrix: Matrix) -> dict[str, Any]:
        """What a layer is, from all that its matrix was multiplied with."""
        shapes = [self._padded(product) for product in matrix.products]
        first, uses = dict(shapes[0]), sum(product.uses for product in matrix.products)
        if all(product.linear for product in matrix.products):
            vectors = {shape["in_height"] for shape in shapes}
            if len(vectors) > 1:
                first["in_height"], uses = sum(shape["in_height"] for shape in shapes), 1
            for shape in shapes:
                shape["in_height"] = first["in_height"]
            if first["in_height"] == 1 and first["groups"] == 1:
                first["kind"] = "linear"
                shapes = [shape | {"kind": "linear"} for shape in shapes]
        if any(shape != first for shape in shapes):
            different = next(shape for shape in shapes if shape != first)
            names = [name for name in first if first[name] != different.get(name)]
            was = ", ".join(f"{name} {first[name]} and {different.get(name)}" for name in names)
            raise ConfigError(f"{matrix.name}: runs in different ways, which no layer describes: {was}")
        return {"name": matrix.name, "uses": uses, **first}

    def _padded(self, product: Product) -> dict[str, Any]:
        """A product's fields; zeros around a map that nothing else reads are the layer's padding."""
        fields = dict(product.fields)
        source = fields.pop("pad_node", None)
        if source is None or set(self.readers[source]) != {product.node} or source in self.outputs:
            return fields
        added = self.nodes[source].pads
        if added is None or fields["kind"] == "transposed":
            return fields
        fields["padding"] = tuple(own + more for own, more in zip(fields["padding"], added))
        fields["in_height"] -= added[0] + added[1]
        fields["in_width"] -= added[2] + added[3]
        return fields

    def _check(self, layer: Layer, matrix: Matrix) -> None:
        """Refuse a layer that would not be what ran."""
        macs = sum(product.macs for product in matrix.products)
        if layer.macs != macs:
            raise ConfigError(f"{layer.name}: {macs} multiply-accumulates ran, a layer of its shape has {layer.macs}")
        seen = {product.out_side for product in matrix.products}
        if not matrix.products[0].linear and seen != {(layer.out_height, layer.out_width)}:
            shown = ", ".join(f"{height}x{width}" for height, width in sorted(seen))
            raise ConfigError(
                f"{layer.name}: gave maps of {shown}, a layer of its shape gives {layer.out_height}x{layer.out_width}"
            )

    def _pools(self) -> dict[int, list[int]]:
        """For every product the pooling that all of its output passes, in order."""
        found: dict[int, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            if node.kind != "pool" or node.window == (1, 1):
                continue
            sources = self.direct[index]
            sides = {source: self._pixels(source, found[source]) for source in sources}
            # Pooling shared by layers is all of theirs, or else is work of its own.
            if sources and all(
                sides[source] == math.prod(node.spatial) and not self._passes(source, index) for source in sources
            ):
                for source in sources:
                    found[source].append(index)
        return found

    def _pixels(self, source: int, pools: list[int]) -> int:
        """Pixels of a product's map after some pooling."""
        matrix = self.matrices[self.nodes[source].layer]
        product = next(product for product in matrix.products if product.node == source)
        return self.nodes[pools[-1]].left if pools else math.prod(product.out_side)

    def _passes(self, source: int, pool: int) -> bool:
        """Whether something of a product's output goes on without passing a pooling."""
        seen, ahead = {source}, [source]
        while ahead:
            index = ahead.pop()
            readers = [reader for reader in self.readers[index] if reader != pool]
            if index in self.outputs or (not self.readers[index] and index != source):
                return True
            for reader in readers:
                node = self.nodes[reader]
                if node.kind in ("layer", "product") or source not in self.direct[reader]:
                    return True
                if reader not in seen:
                    seen.add(reader)
                    ahead.append(reader)
        return False

    def _size_at(self, source: int, index: int, pools: dict[int, list[int]]) -> int:
        """Values of a product's output where another node reads it."""
        size = self.nodes[source].numel
        for pool in pools.get(source, ()):
            if pool < index:
                size = size * self.nodes[pool].left // math.prod(self.nodes[pool].spatial)
        return size

    def _pooled(self, matrix: Matrix, pools: dict[int, list[int]]) -> dict[str, Any]:
        """Pooling fields of a layer: what its first use passes."""
        chain = [self.nodes[index] for index in pools.get(matrix.products[0].node, ())]
        if not chain:
            return {}
        window = math.prod(node.window[0] for node in chain), math.prod(node.window[1] for node in chain)
        return {"pool": window, "pool_kind": "average" if any(node.average for node in chain) else "max"}


__all__ = ["layers_of", "run_traced", "trace"]
