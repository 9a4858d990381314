"""From an ONNX graph to a torch module, layer by layer in the order of the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError, XpertError
from xpert.networks.sources.codes import Codes
from xpert.networks.sources.graph import Graph, GraphBuilder, Ref, batched
from xpert.networks.sources.onnx_file.operators import OF_SHAPES, OPERATORS, code_range, reshape_batch, window_pads
from xpert.networks.sources.onnx_file.reading import Node, OnnxGraph, read_onnx

_DOMAINS = ("", "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
"""Whose operators are read."""


class OnnxNetwork(NamedTuple):
    """What a file makes."""

    module: Graph
    input_shape: tuple[int, ...]
    missing: str | None
    """File beside it that holds weights and is not there."""
    weight_codes: dict[str, Codes]
    """Grid of the weights of those layers whose weights the file rounds, by the layers' names."""
    input_codes: dict[str, Codes]
    """Grid of the inputs of those layers whose inputs the file rounds, by the layers' names."""


def from_onnx(
    path: Path, where: str, arguments: Mapping[str, Any], input_shape: Sequence[int] | None = None
) -> OnnxNetwork:
    """The network of an ONNX or QONNX file.

    Args:
        path: The file.
        where: The source, for messages.
        arguments: Values of inputs besides the image; a number fills a tensor.
        input_shape: Sizes of an image, where the file leaves them open.

    Raises:
        ConfigError: If an operator is not read, which is named with its place; or sizes or arguments are missing.
        DataError: If the file is missing or broken.
    """
    file = read_onnx(path)
    graph = file.graph
    names = list(graph.inputs)
    if not names:
        raise ConfigError(f"{where}: the network has no input")
    image = _image_input(graph, arguments)
    last_channels = _channels_are_last(graph, image)
    shape = _sizes(where, graph.inputs[image], input_shape, last_channels)
    batch = graph.inputs[image][0] if graph.inputs[image] else None
    example = torch.randn(batch or 1, *shape, generator=torch.Generator().manual_seed(0))
    tokens = image in graph.whole
    builder = _Builder(
        where, image, torch.zeros_like(example) if tokens else example, fixed_batch=graph.inputs[image][:1] == (1,)
    )
    if last_channels:
        builder.first(torch.permute, (0, 2, 3, 1))
    elif tokens:
        builder.first(Tensor.to, torch.int64)
    for name in names:
        if name != image:
            value = _argument(where, name, graph.inputs[name], arguments)
            builder.graph.constant(name, value.long() if name in graph.whole else value.float())
    unknown = arguments.keys() - set(names)
    if unknown:
        raise ConfigError(f"{where}: no input {min(unknown)!r}; the network has {', '.join(names)}")
    builder.add(graph)
    outputs = [name for name in graph.outputs if name in builder.graph.values]
    module = batched(where, builder.graph.finish(outputs), shape, whole=tokens)
    layers = {step.call for step in module.steps if isinstance(step.call, str)}
    weights, inputs = (
        {name: codes for name, codes in found.items() if name in layers}
        for found in (builder.weight_codes, builder.input_codes)
    )
    return OnnxNetwork(module, shape, file.missing, weights, inputs)


def _image_input(graph: OnnxGraph, arguments: Mapping[str, Any]) -> str:
    """The input that is the image: the first with a batch and something in it that is not given as an argument."""
    open_inputs = [name for name in graph.inputs if name not in arguments]
    return next((name for name in open_inputs if len(graph.inputs[name]) >= 2), next(iter(graph.inputs)))


def _channels_are_last(graph: OnnxGraph, image: str) -> bool:
    """Whether images come with their channels last and the graph itself turns them first, as TensorFlow's do."""
    readers = [node for node in graph.nodes if image in node.inputs]
    return (
        len(graph.inputs[image]) == 4
        and bool(readers)
        and all(node.op == "Transpose" and node.get("perm") == [0, 3, 1, 2] for node in readers)
    )


def _sizes(
    where: str, stated: Sequence[int | None], given: Sequence[int] | None, last_channels: bool
) -> tuple[int, ...]:
    """Sizes of the graph's input without the batch, channels first."""
    sizes = list(stated[1:])
    if last_channels:
        sizes = [sizes[2], sizes[0], sizes[1]]
    if given is not None:
        fits = len(given) == len(sizes) and all(size in (None, wanted) for size, wanted in zip(sizes, given))
        if not fits:
            shown = ",".join("?" if size is None else str(size) for size in sizes)
            raise ConfigError(f"{where}: takes inputs of {shown}, not {','.join(map(str, given))}")
        sizes = list(given)
    if not sizes or None in sizes:
        shown = ",".join("?" if size is None else str(size) for size in sizes)
        raise ConfigError(f"{where}: leaves sizes of its input open ({shown}): give --input-shape")
    return tuple(size for size in sizes if size is not None)


def _argument(where: str, name: str, sizes: Sequence[int | None], arguments: Mapping[str, Any]) -> Tensor:
    """The value of an input that is not the image."""
    if name not in arguments:
        shown = ", ".join("?" if size is None else str(size) for size in sizes)
        raise ConfigError(f"{where}: has a second input, {name} [{shown}]: give its value, --argument {name}=...")
    try:
        value = torch.as_tensor(arguments[name])
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"{where}: {name}: not a number or list of numbers") from None
    return value.expand([size or 1 for size in sizes]).clone() if value.dim() == 0 and sizes else value


class _Builder:
    """Turns nodes into steps and layers."""

    def __init__(self, where: str, image: str, example: Tensor, *, fixed_batch: int | None) -> None:
        self.where, self.fixed_batch = where, fixed_batch
        self.graph = GraphBuilder(where, image, example)
        self.weight_codes: dict[str, Codes] = {}
        self.input_codes: dict[str, Codes] = {}
        self._codes: dict[str, Codes] = {}
        self._counts: Counter[str] = Counter()

    def first(self, call: Any, *arguments: Any) -> None:
        """What is done to the image before all else."""
        graph, image = self.graph, self.graph.image
        graph.image = "xpert/image"
        graph.values[graph.image] = graph.values.pop(image)
        graph.step((image,), call, (Ref(graph.image), *arguments))

    def add(self, graph: OnnxGraph) -> None:
        """Add the nodes of a graph or branch."""
        for name, tensor in graph.constants.items():
            self.graph.constant(name, tensor)
        readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in (*node.inputs, *_inner_reads(node)):
                readers.setdefault(name, []).append(node)
        done: set[int] = set()
        for node in graph.nodes:
            if id(node) in done:
                continue
            try:
                self._add(node, readers, graph.outputs, done)
            except XpertError as error:
                # Of a branch the inner place says where.
                inner = str(error).removeprefix(f"{self.where}: ")
                raise ConfigError(f"{self.where}: {_place(node)}: {inner}") from None
            except (
                RuntimeError,
                IndexError,
                ValueError,
                TypeError,
                KeyError,
                AttributeError,
                NotImplementedError,
            ) as error:
                reason = " ".join(str(error).split())[:200]
                raise ConfigError(f"{self.where}: {_place(node)}: cannot be computed: {reason}") from None

    def _add(self, node: Node, readers: Mapping[str, list[Node]], results: Sequence[str], done: set[int]) -> None:
        if node.domain not in _DOMAINS:
            raise ConfigError(f"operators of {node.domain} are not read")
        absent = [name for name in node.inputs if name and name not in self.graph.values]
        if absent:
            raise ConfigError(f"its input {absent[0]!r} is nowhere")
        inputs = [name for name in node.inputs if name]
        constant = self.graph.is_constant(*inputs)
        if node.op == "Constant":
            self.graph.constant(node.outputs[0], _constant(node))
        elif node.op == "Identity":
            self.graph.same(node.outputs[0], node.inputs[0])
        elif node.op == "If":
            self._branch(node)
        elif node.op in ("Conv", "ConvTranspose") and not constant:
            self._convolution(node)
        elif node.op in ("Gemm", "MatMul") and not constant:
            self._product(node, readers, results, done)
        elif node.op == "BatchNormalization":
            self._batch_norm(node)
        elif node.op in ("LSTM", "GRU", "RNN"):
            self._recurrent(node)
        else:
            self._function(node)
        self._follow_codes(node)

    def _function(self, node: Node) -> None:
        if node.op == "Gemm":
            call = _gemm(node)
        elif node.op == "MatMul":
            call = torch.matmul
        elif node.op in ("Conv", "ConvTranspose"):
            raise ConfigError("a convolution of constants is not read")
        elif node.op not in OPERATORS:
            raise ConfigError("this operator is not read")
        elif node.op == "Reshape" and self._says_the_batch(node):
            call = reshape_batch(node)
        else:
            call = OPERATORS[node.op](node)
        arguments = [Ref(name) if name else None for name in node.inputs]
        self.graph.step(node.outputs, call, arguments, of_shapes=node.op in OF_SHAPES)

    def _says_the_batch(self, node: Node) -> bool:
        """Whether the first size of a reshape is the number of images that the file was exported for."""
        shape = self.graph.example(node.inputs[1])
        x = self.graph.example(node.inputs[0])
        return (
            self.fixed_batch is not None
            and self.graph.is_constant(node.inputs[1])
            and not self.graph.is_constant(node.inputs[0])
            and shape.numel() > 0
            and x.dim() > 0
            and x.shape[0] == self.fixed_batch
            and int(shape.flatten()[0]) == self.fixed_batch
        )

    def _branch(self, node: Node) -> None:
        """The branch of an `If` that is taken; its condition must not depend on what an image shows."""
        if not self.graph.is_fixed(node.inputs[0]):
            raise ConfigError("a branch that depends on the image is not read")
        taken = node.get(
            "then_branch" if bool(self.graph.example(node.inputs[0]).reshape(()).item()) else "else_branch"
        )
        outer = dict(self.graph.values)
        self.add(taken)
        found = [self.graph.values[name] for name in taken.outputs]
        inner = {name: known for name, known in self.graph.values.items() if outer.get(name) is not known}
        # Names within the branch are its own: they must not hide those outside.
        self.graph.values = outer | {name: known for name, known in inner.items() if name not in outer}
        for new, old, known in zip(node.outputs, taken.outputs, found):
            if known.constant:
                self.graph.constant(new, known.example)
            else:
                self.graph.same(new, old)

    # Layers

    def _weight(self, name: str) -> Tensor:
        """A weight, in float32: files hold integers, too."""
        return self.graph.example(name).float()

    def _named(self, node: Node, kind: str) -> str:
        """A layer's name: the node's if that is a short one, or its kind and number."""
        self._counts[kind] += 1
        name = node.name.strip("/").replace("/", "_").replace(".", "_")
        return name if 0 < len(name) <= _LONGEST_NAME else f"{kind}{self._counts[kind]}"

    def _place(
        self,
        node: Node,
        kind: str,
        layer: Any,
        weight: Tensor,
        bias: Tensor | None,
        source: str,
        image: str,
        output: str,
    ) -> None:
        """Add a convolution or linear layer.

        Weights with a scale for each channel are held with one for all of them; what remains is multiplied behind it.
        """
        codes, factors = self._codes.get(source), None
        if codes is not None:
            codes, factors = _one_scale(codes, weight, turned=weight.shape != self.graph.example(source).shape)
        if factors is not None:
            weight = weight / factors.reshape(-1, *[1] * (weight.dim() - 1))
            layer.bias = None
        with torch.no_grad():
            layer.weight.copy_(weight)
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
        path = self.graph.layer(output if factors is None else f"{output}/codes", self._named(node, kind), layer, image)
        if codes is not None:
            self.weight_codes[path] = codes
        if image in self._codes:
            self.input_codes[path] = self._codes[image]
        if factors is not None:
            axes = [1] * (weight.dim() - 2)
            scaled = output if bias is None else f"{output}/scaled"
            self.graph.step((scaled,), torch.mul, (Ref(f"{output}/codes"), factors.reshape(-1, *axes)))
            if bias is not None:
                self.graph.step((output,), torch.add, (Ref(scaled), bias.reshape(-1, *axes)))

    def _convolution(self, node: Node) -> None:
        image, kernel, *more = node.inputs
        if not self.graph.is_constant(*node.inputs[1:2], *(name for name in more if name)):
            raise ConfigError("a convolution with a kernel that depends on the image is not read")
        x, weight = self.graph.example(image), self._weight(kernel)
        bias = self._weight(more[0]) if more and more[0] else None
        axes = weight.dim() - 2
        if axes not in (1, 2, 3) or x.dim() != axes + 2:
            raise ConfigError(f"a kernel of {list(weight.shape)} on a map of {list(x.shape)}")
        turned = node.op == "ConvTranspose"
        groups = node.get("group", 1)
        pads = window_pads(node, x, weight.shape[2:]) if not turned else _turned_pads(node, axes)
        even = all(before == after for before, after in pads)
        options: dict[str, Any] = {
            "stride": tuple(node.get("strides", [1] * axes)),
            "padding": tuple(before for before, _ in pads) if even else (0,) * axes,
            "dilation": tuple(node.get("dilations", [1] * axes)),
            "groups": groups,
            "bias": bias is not None,
        }
        flat = [side for pair in reversed(pads) for side in pair]
        output = node.outputs[0]
        if turned:
            more_out = node.get("output_padding", [0] * axes)
            options["output_padding"] = tuple(more_out)
            kinds: Any = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
            layer = kinds[axes](weight.shape[0], weight.shape[1] * groups, tuple(weight.shape[2:]), **options)
            output = output if even else f"{output}/uncut"
        else:
            kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
            layer = kinds[axes](weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), **options)
            if not even:
                self.graph.step((f"{node.outputs[0]}/padded",), F.pad, (Ref(image), flat))
                self._pass_codes(image, f"{node.outputs[0]}/padded")
                image = f"{node.outputs[0]}/padded"
        self._place(node, "conv", layer, weight, bias, kernel, image, output)
        if turned and not even:
            self.graph.step((node.outputs[0],), F.pad, (Ref(output), [-side for side in flat]))

    def _product(self, node: Node, readers: Mapping[str, list[Node]], results: Sequence[str], done: set[int]) -> None:
        a, b = node.inputs[:2]
        x, y = self.graph.example(a), self.graph.example(b)
        gemm = node.op == "Gemm"
        if self.graph.is_constant(b) and y.dim() == 2 and x.dim() >= 2 and not node.get("transA", 0):
            weight = self._weight(b) if node.get("transB", 0) else self._weight(b).T
            weight = weight * node.get("alpha", 1.0)
            bias, output = None, node.outputs[0]
            if gemm and len(node.inputs) > 2 and node.inputs[2]:
                if not self.graph.is_constant(node.inputs[2]):
                    return self._function(node)
                bias = self._weight(node.inputs[2]) * node.get("beta", 1.0)
                if bias.numel() not in (1, len(weight)):
                    return self._function(node)
            elif not gemm:
                bias, output = self._bias_after(node, len(weight), readers, results, done)
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
            flat = None if bias is None else bias.flatten().expand(len(weight))
            return self._place(node, "linear", layer, weight, flat, b, a, output)
        if not gemm and self.graph.is_constant(a) and x.dim() == 2 and y.dim() >= 2:
            # W x, as the layer of x's transpose.
            weight = self._weight(a)
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            self.graph.step((f"{b}/turned",), torch.transpose, (Ref(b), -1, -2))
            self._pass_codes(b, f"{b}/turned")
            self._place(node, "linear", layer, weight, None, a, f"{b}/turned", f"{node.outputs[0]}/turned")
            return self.graph.step((node.outputs[0],), torch.transpose, (Ref(f"{node.outputs[0]}/turned"), -1, -2))
        return self._function(node)

    def _bias_after(
        self, node: Node, width: int, readers: Mapping[str, list[Node]], results: Sequence[str], done: set[int]
    ) -> tuple[Tensor | None, str]:
        """The bias that an `Add` after a product is, and the name of their sum."""
        output = node.outputs[0]
        after = readers.get(output, [])
        if len(after) != 1 or after[0].op != "Add" or output in results:
            return None, output
        other = next((name for name in after[0].inputs if name != output), None)
        if other is None or other not in self.graph.values or not self.graph.is_constant(other):
            return None, output
        value = self._weight(other)
        if value.numel() != width or value.shape[-1:] != (width,):
            return None, output
        done.add(id(after[0]))
        return value.flatten(), after[0].outputs[0]

    def _batch_norm(self, node: Node) -> None:
        image, *parameters = node.inputs[:5]
        if node.get("training_mode", 0):
            raise ConfigError("a batch norm in training mode is not read")
        if not self.graph.is_constant(*parameters):
            raise ConfigError("a batch norm with computed parameters is not read")
        scale, shift, mean, variance = map(self._weight, parameters)
        rank = self.graph.example(image).dim()
        kinds: Any = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
        if rank not in kinds:
            raise ConfigError(f"a batch norm of {rank} axes is not read")
        norm = kinds[rank](len(scale), eps=node.get("epsilon", 1e-5))
        with torch.no_grad():
            for own, value in ((norm.weight, scale), (norm.bias, shift), (norm.running_mean, mean)):
                own.copy_(value)
            norm.running_var.copy_(variance)
        if self.graph.is_constant(image):
            raise ConfigError("a batch norm of a constant is not read")
        self.graph.layer(node.outputs[0], self._named(node, "norm"), norm, image)

    def _recurrent(self, node: Node) -> None:
        """LSTM, GRU and RNN in their common form: the gates' usual functions, sequences of one length."""
        image, weight, recurrence, *more = (*node.inputs, "", "", "", "", "")[:8]
        bias, lengths, first, first_cell, peepholes = more
        if peepholes or node.get("clip") or node.get("layout", 0) or node.get("activations") not in (None, *_USUAL):
            raise ConfigError("this form of a recurrent layer is not read")
        if lengths or node.get("direction", "forward") == "reverse" or node.get("input_forget", 0):
            raise ConfigError("this form of a recurrent layer is not read")
        if node.op == "GRU" and not node.get("linear_before_reset", 0):
            raise ConfigError("a GRU that resets before it multiplies is not read")
        if not self.graph.is_constant(weight, recurrence, *(name for name in (bias,) if name)):
            raise ConfigError("a recurrent layer with computed weights is not read")
        both = node.get("direction", "forward") == "bidirectional"
        size, width = node.get("hidden_size"), self._weight(weight).shape[2]
        layer = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[node.op](width, size, bidirectional=both)
        order = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}[node.op]  # ONNX: iofc and zrh; torch: ifgo, rzn
        with torch.no_grad():
            for direction, suffix in enumerate(("", "_reverse")[: 1 + both]):
                parts = {
                    "weight_ih_l0": self._weight(weight)[direction],
                    "weight_hh_l0": self._weight(recurrence)[direction],
                }
                biases = self._weight(bias)[direction] if bias else torch.zeros(2 * len(order) * size)
                parts["bias_ih_l0"], parts["bias_hh_l0"] = biases.chunk(2)
                for name, value in parts.items():
                    gates = value.chunk(len(order))
                    getattr(layer, name + suffix).copy_(torch.cat([gates[place] for place in order]))
        wrapper = _Recurrent(layer, cells=node.op == "LSTM")
        states = [Ref(name) if name else None for name in (first, first_cell)[: 1 + (node.op == "LSTM")]]
        outputs = ((*node.outputs, "", "", ""))[:3]
        path = self.graph.place(self._named(node, node.op.lower()), wrapper)
        self.graph.step(outputs, _CallLayer(wrapper), (Ref(image), *states))
        self.graph.steps[-1].call = path

    # Grids of codes, of quantisers

    def _follow_codes(self, node: Node) -> None:
        """Remember which values are on a quantiser's grid: its own, and those that only move numbers about."""
        if node.op in ("Quant", "IntQuant"):
            scale, zero, bits = (self.graph.example(name) for name in node.inputs[1:4])
            if not self.graph.is_constant(*node.inputs[1:4]):
                return
            low, high = code_range(float(bits.item()), bool(node.get("signed", 1)), bool(node.get("narrow", 0)))
            width = int(-(-float(bits.item()) // 1))
            self._codes[node.outputs[0]] = Codes(width, scale, float(zero.flatten()[0]), low, high)
        elif node.op == "BipolarQuant" and self.graph.is_constant(node.inputs[1]):
            self._codes[node.outputs[0]] = Codes(1, self.graph.example(node.inputs[1]), 0.0, -1, 1)
        elif node.op == "DequantizeLinear" and self.graph.is_constant(*node.inputs[1:]):
            scale, *zeros = map(self.graph.example, node.inputs[1:])
            zero: Tensor = zeros[0] if zeros else torch.zeros(1, dtype=torch.uint8)
            if not zero.is_floating_point() and bool((zero == zero.flatten()[0]).all()):
                info, offset = torch.iinfo(zero.dtype), float(zero.flatten()[0])
                self._codes[node.outputs[0]] = Codes(info.bits, scale, offset, info.min, info.max, node.get("axis", 1))
        elif node.op in _MOVING and node.inputs[0] in self._codes:
            self._pass_codes(node.inputs[0], node.outputs[0])

    def _pass_codes(self, old: str, new: str) -> None:
        if old in self._codes:
            self._codes[new] = self._codes[old]


_LONGEST_NAME = 80

_MOVING = (
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "MaxPool",
    "GlobalMaxPool",
    "Identity",
    "Relu",
    "Pad",
)
"""Operators whose results are some of their input's numbers; zeros that they add are on every grid."""

_USUAL = (["Sigmoid", "Tanh", "Tanh"], ["Sigmoid", "Tanh"], ["Tanh"])


class _Recurrent(nn.Module):
    """A recurrent layer of torch with the inputs and outputs of ONNX's."""

    def __init__(self, layer: nn.RNNBase, cells: bool) -> None:
        super().__init__()
        self.layer, self.cells = layer, cells

    def forward(self, x: Tensor, first: Tensor | None = None, cell: Tensor | None = None) -> tuple[Tensor, ...]:
        states = None if first is None else (first, cell) if self.cells else first
        found, last = self.layer(x, states)
        length, batch, _ = found.shape
        found = found.reshape(length, batch, -1, self.layer.hidden_size).permute(0, 2, 1, 3)
        return (found, *last) if self.cells else (found, last)


class _CallLayer:
    """A layer as a function, for the example."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __call__(self, *arguments: Any) -> Any:
        return self.layer(*arguments)


def _one_scale(codes: Codes, weight: Tensor, turned: bool) -> tuple[Codes | None, Tensor | None]:
    """Codes of a weight [outputs, ...] with one scale, and the factors of its outputs where it has a scale for each.

    Returns:
        No codes where scales differ in another way, as between inputs.
    """
    scale = codes.scale.float()
    if scale.numel() == 1:
        return codes._replace(scale=scale.reshape(())), None
    scale = scale.T if turned and scale.dim() == 2 else scale
    if scale.dim() == 1 and codes.axis is not None:
        axis = 1 - codes.axis if turned else codes.axis
        scale = scale.reshape([-1 if place == axis else 1 for place in range(weight.dim())])
    if (
        scale.numel() != len(weight)
        or scale.dim() != weight.dim()
        or len(scale) != len(weight)
        or bool((scale <= 0).any())
    ):
        return None, None
    largest = scale.amax()
    return codes._replace(scale=largest), scale.flatten() / largest


def _turned_pads(node: Node, axes: int) -> list[tuple[int, int]]:
    """What a transposed convolution cuts off before and after each axis."""
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.get("output_shape"):
        raise ConfigError("a transposed convolution of a given output size is not read")
    given = node.get("pads", [0] * 2 * axes)
    return list(zip(given[:axes], given[axes:]))


def _gemm(node: Node) -> Any:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)

    def gemm(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = torch.matmul(a.T if node.get("transA", 0) else a, b.T if node.get("transB", 0) else b) * alpha
        return product if c is None else product + c * beta

    return gemm


def _constant(node: Node) -> Tensor:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = node.get(name)
        if value is not None:
            return value if isinstance(value, Tensor) else torch.as_tensor(value)
    raise ConfigError("a constant of this kind is not read")


def _inner_reads(node: Node) -> list[str]:
    """What the branches of a node read."""
    found = []
    for value in node.attributes.values():
        if isinstance(value, OnnxGraph):
            found += [name for inner in value.nodes for name in (*inner.inputs, *_inner_reads(inner))]
            found += value.outputs
    return found


def _place(node: Node) -> str:
    """An operator and where it is, for messages."""
    name = f" {node.name!r}" if node.name else f" that gives {node.outputs[0]!r}" if node.outputs else ""
    return f"{node.domain + '.' if node.domain else ''}{node.op}{name}"


__all__ = ["OnnxNetwork", "from_onnx"]
