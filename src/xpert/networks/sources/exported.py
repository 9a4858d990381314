"""Networks from the `.pt2` files of torch.export, read as JSON and raw numbers.

`torch.export.load` is not used: where a file does not fit it unpickles all that the file brings. Here the graph is
JSON, its operators are looked up in a list of our own, and weights are read by sizes, strides and offset.

Layouts: an archive with `models/*.json` and a file for each weight (torch 2.9 and newer), or one state dict (2.8); a
zip with `serialized_exported_program.json` (torch 2.4 to 2.7).
"""

from __future__ import annotations

import io
import json
import math
import operator
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xpert.errors import ConfigError, DataError, XpertError
from xpert.networks.sources.graph import Graph, GraphBuilder, Ref, batched

_TYPES = (
    *(None, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32),
    *(torch.float64, None, torch.complex64, torch.complex128, torch.bool, torch.bfloat16),
)
"""torch's types by the numbers of the format (torch/_export/serde/schema.py, `ScalarType`)."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float64)

_FORMATS = (None, torch.contiguous_format, torch.channels_last, torch.channels_last_3d, torch.preserve_format)
_LARGEST = 1 << 32
"""Largest file within an archive that is read. [byte]"""


class Exported(NamedTuple):
    """What a file makes."""

    module: Graph
    input_shape: tuple[int, ...]


def from_exported(
    path: Path, where: str, arguments: Mapping[str, Any], input_shape: Sequence[int] | None = None
) -> Exported:
    """The network of a file that `torch.export.save` has written.

    Args:
        path: The file.
        where: The source, for messages.
        arguments: Values of inputs besides the image.
        input_shape: Sizes of an image, where the file leaves them open; by default those that it was exported with.

    Raises:
        ConfigError: If an operator is not read, which is named with its place.
        DataError: If the file is missing or broken.
    """
    try:
        with _Archive(path) as archive:
            program, tensors = archive.read()
        return _Reader(where, tensors, program["graph_module"]).build(arguments, input_shape)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, XpertError):
            raise
        raise DataError(f"{path}: not a whole .pt2 file: {type(error).__name__}: {error}") from None


class _Archive:
    """The zip file, whose entries may all lie in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"{path}: {'is a folder, not a .pt2 file' if path.is_dir() else 'no such .pt2 file'}")
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{path}: not a .pt2 file: {error}") from None
        self.names = set(self.zip.namelist())
        self.prefix = next(
            (name.removesuffix("archive_format") for name in self.names if name.endswith("archive_format")), ""
        )

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def bytes(self, name: str) -> bytes:
        full = self.prefix + name
        if full not in self.names:
            raise DataError(f"{self.path}: lacks {name}")
        if self.zip.getinfo(full).file_size > _LARGEST:
            raise DataError(f"{self.path}: {name} is larger than {_LARGEST >> 30} GiB")
        try:
            return self.zip.read(full)
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self.path}: {name} cannot be read: {error}") from None

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.bytes(name))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path}: {name} is not JSON: {error}") from None

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The program, and its tensors by name."""
        if "serialized_exported_program.json" in self.names:
            tensors = self.state("serialized_state_dict.pt") | self.state("serialized_constants.pt")
            return self.json("serialized_exported_program.json"), tensors
        found = [name.removeprefix(self.prefix) for name in self.names if name.startswith(f"{self.prefix}models/")]
        models = sorted(name for name in found if name.endswith(".json"))
        if len(models) != 1:
            what = f"{len(models)} programs" if models else "no program of torch.export"
            raise DataError(f"{self.path}: holds {what}; files with one are read")
        name = models[0].removeprefix("models/").removesuffix(".json")
        tensors: dict[str, Tensor] = {}
        for kind in ("weights", "constants"):
            if f"{self.prefix}data/{kind}/{name}.pt" in self.names:
                tensors |= self.state(f"data/{kind}/{name}.pt")
                continue
            config = self.json(f"data/{kind}/{name}_{kind}_config.json")["config"]
            for entry, meta in config.items():
                tensors[entry] = self.tensor(f"data/{kind}/{meta['path_name']}", meta)
        return self.json(models[0]), tensors

    def state(self, name: str) -> dict[str, Tensor]:
        """A state dict within the file: tensors alone, as `weights_only` reads them."""
        found = self.loaded(name)
        if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
            raise DataError(f"{self.path}: {name} holds other things than tensors")
        return {str(key): value.detach() for key, value in found.items()}

    def loaded(self, name: str) -> Any:
        content = self.bytes(name)
        if not content:
            return {}
        try:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001 - broken files raise whatever they like
            reason = " ".join(str(error).split())[:120]
            raise DataError(f"{self.path}: {name} holds more than tensors, or is broken: {reason}") from None

    def tensor(self, name: str, meta: Mapping[str, Any]) -> Tensor:
        """A tensor by its sizes, strides and offset: kernels whose channels lie last are not in the order of sizes."""
        described = meta["tensor_meta"]
        if meta.get("use_pickle"):
            found = self.loaded(name)
            if not isinstance(found, Tensor):
                raise DataError(f"{self.path}: {name} is not a tensor")
            return found.detach()
        kind = _dtype(described["dtype"])
        sizes = [_number(size) for size in described["sizes"]]
        strides = [_number(stride) for stride in described["strides"]]
        offset = _number(described["storage_offset"])
        content = self.bytes(name)
        reach = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides)) + 1 if math.prod(sizes) else 0
        if len(sizes) != len(strides) or min([*sizes, *strides, offset]) < 0 or reach * kind.itemsize > len(content):
            raise DataError(f"{self.path}: {name} is shorter than its sizes say")
        if not reach:
            return torch.zeros(sizes, dtype=kind)
        flat = torch.frombuffer(bytearray(content[: reach * kind.itemsize]), dtype=kind)
        return flat.as_strided(sizes, strides, offset).contiguous()


def _dtype(number: Any) -> torch.dtype:
    kind = _TYPES[number] if isinstance(number, int) and 0 <= number < len(_TYPES) else None
    if kind is None:
        raise DataError(f"numbers of type {number} are not read")
    return kind


def _number(value: Mapping[str, Any]) -> int:
    """A size that is fixed."""
    if "as_int" not in value:
        raise DataError("a weight whose size is open")
    return int(value["as_int"])


class _Reader:
    """Turns the nodes of a program into steps and layers."""

    def __init__(self, where: str, tensors: Mapping[str, Tensor], program: Mapping[str, Any]) -> None:
        self.where, self.tensors = where, tensors
        self.graph, self.signature = program["graph"], program["signature"]
        self.origin: dict[str, str] = {}
        """Name of the parameter that a constant is, or is made of."""

    def build(self, arguments: Mapping[str, Any], input_shape: Sequence[int] | None) -> Exported:
        constants: list[tuple[str, Tensor, str]] = []
        users: list[str] = []
        for spec in self.signature["input_specs"]:
            ((kind, content),) = spec.items()
            if kind in ("parameter", "buffer", "tensor_constant"):
                name = content[f"{kind}_name"]
                if name not in self.tensors:
                    raise DataError(f"{self.where}: lacks the numbers of {name}")
                value = self.tensors[name]
                value = value.float() if value.dtype in _FLOATS else value
                constants.append((content["arg"]["name"], value, name))
            elif kind == "user_input":
                users += [content["arg"]["as_tensor"]["name"]] if "as_tensor" in content["arg"] else []
            elif kind not in ("constant_input", "token"):
                raise ConfigError(f"{self.where}: inputs of kind {kind} are not read")
        images = [name for name in users if name not in arguments]
        unknown = arguments.keys() - set(users)
        if unknown:
            raise ConfigError(f"{self.where}: no input {min(unknown)!r}; the network has {', '.join(users)}")
        if len(images) != 1:
            raise ConfigError(
                f"{self.where}: takes {', '.join(images) or 'nothing'}: one input is the image, give the others with "
                "--argument NAME=..."
            )
        meta = self.graph["tensor_values"][images[0]]
        batch, shape = self._sizes(meta["sizes"], input_shape)
        whole = not _dtype(meta["dtype"]).is_floating_point
        example = torch.randn(batch or 1, *shape, generator=torch.Generator().manual_seed(0))
        self.fixed_batch = batch
        self.builder = GraphBuilder(self.where, images[0], torch.zeros_like(example) if whole else example)
        if whole:
            self.builder.image = "xpert/image"
            self.builder.values["xpert/image"] = self.builder.values.pop(images[0])
            self.builder.step((images[0],), Tensor.to, (Ref("xpert/image"), _dtype(meta["dtype"])))
        for name, value, path in constants:
            self.builder.constant(name, value, path)
            self.origin[name] = path
        for name, value in arguments.items():
            self.builder.constant(name, torch.as_tensor(value))
        for number, node in enumerate(self.graph["nodes"]):
            self._add(node, number)
        outputs = list(self._outputs())
        return Exported(batched(self.where, self.builder.finish(outputs), shape, whole=whole), shape)

    def _sizes(
        self, stated: Sequence[Mapping[str, Any]], given: Sequence[int] | None
    ) -> tuple[int | None, tuple[int, ...]]:
        """The number of images, where it is fixed, and the shape of one."""
        fixed = [size.get("as_int") for size in stated]
        hints = [(size.get("as_expr", {}).get("hint") or {}).get("as_int") for size in stated]
        if given is not None and (
            len(given) != len(fixed) - 1 or any(a not in (None, b) for a, b in zip(fixed[1:], given))
        ):
            shown = ",".join("?" if size is None else str(size) for size in fixed[1:])
            raise ConfigError(f"{self.where}: takes inputs of {shown}, not {','.join(map(str, given))}")
        shape = given or [size if size is not None else hint for size, hint in zip(fixed[1:], hints[1:])]
        if not shape or None in shape:
            raise ConfigError(f"{self.where}: leaves sizes of its input open: give --input-shape")
        return fixed[0], tuple(int(size) for size in shape if size is not None)

    def _outputs(self) -> Iterator[str]:
        for spec in self.signature["output_specs"]:
            argument = spec.get("user_output", {}).get("arg", {})
            if "as_tensor" in argument:
                yield argument["as_tensor"]["name"]

    # Nodes

    def _add(self, node: Mapping[str, Any], number: int) -> None:
        target = node["target"]
        place = f"{target.removeprefix('torch.ops.')} (node {number}{self._module(node)})"
        try:
            self._node(node, target)
        except DataError:
            raise
        except XpertError as error:
            raise ConfigError(f"{self.where}: {place}: {error}") from None
        except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"{self.where}: {place}: cannot be computed: {reason}") from None

    @staticmethod
    def _module(node: Mapping[str, Any]) -> str:
        """The module that a node comes from, where the file says it."""
        stack = (node.get("metadata") or {}).get("nn_module_stack", "")
        path = stack.split(";")[-1].split(",")[1:2]
        return f", {path[0]}" if path and path[0] else ""

    def _node(self, node: Mapping[str, Any], target: str) -> None:
        if target.startswith(_CHECKS):
            return
        outputs = [name for output in node["outputs"] for name in _names(output)]
        if target in _NUMBERS:
            arguments = [self._value(entry["arg"]) for entry in node["inputs"]]
            self.builder.step(outputs, _NUMBERS[target], arguments, of_shapes=target == _SIZE)
            return
        name = target.removeprefix("torch.ops.aten.")
        short = name.partition(".")[0]
        if name == target or short not in _OPERATORS:
            raise ConfigError("this operator is not read")
        overload = getattr(getattr(torch.ops.aten, short), name.partition(".")[2] or "default")
        arguments, options = self._arguments(overload._schema, node["inputs"])
        if self._layer(short, arguments, outputs):
            return
        written = overload._schema.is_mutable
        if written and isinstance(arguments[0], Ref) and self.builder.is_constant(arguments[0].name):
            raise ConfigError("changes a weight or buffer while it runs; was it exported in evaluation mode?")
        call: Callable[..., Any] = overload
        if short in _BATCHED and self._says_the_batch(arguments):
            call = _of_the_batch(overload)
        self.builder.step(outputs, call, arguments, options)
        sources = [part.name for part in arguments if isinstance(part, Ref)]
        if len(outputs) == 1 and len(sources) == 1 and sources[0] in self.origin:
            self.origin[outputs[0]] = self.origin[sources[0]]

    def _arguments(self, schema: Any, inputs: Sequence[Mapping[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments in the order of the operator's schema, with its defaults; what stands by name last."""
        given = {entry["name"]: self._value(entry["arg"]) for entry in inputs}
        positional, options = [], {}
        for argument in schema.arguments:
            if argument.name == "device":
                continue  # where the module is
            if argument.kwarg_only:
                if argument.name in given:
                    options[argument.name] = given[argument.name]
            else:
                positional.append(given.get(argument.name, argument.default_value))
        return positional, options

    def _value(self, argument: Mapping[str, Any]) -> Any:
        ((kind, value),) = argument.items()
        if kind == "as_none":
            return None
        if kind in ("as_tensor", "as_optional_tensor"):
            return self._value(value) if "as_tensor" in value or "as_none" in value else self._ref(value["name"])
        if kind == "as_tensors":
            return [self._ref(entry["name"]) for entry in value]
        if kind == "as_optional_tensors":
            return [self._value(entry) for entry in value]
        if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
            return self._ref(value["as_name"]) if "as_name" in value else next(iter(value.values()))
        if kind in ("as_sym_ints", "as_sym_bools", "as_sym_floats"):
            return [self._value({kind[:-1]: entry}) for entry in value]
        if kind == "as_scalar_type":
            found = _dtype(value)
            return torch.float32 if found in _FLOATS else found
        if kind == "as_memory_format":
            return _FORMATS[value] if 0 <= value < len(_FORMATS) else torch.contiguous_format
        if kind in ("as_device", "as_layout"):
            return None
        if kind in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string"):
            return float(value) if kind == "as_float" else value
        raise ConfigError(f"arguments of kind {kind.removeprefix('as_')} are not read")

    def _ref(self, name: str) -> Ref:
        if name not in self.builder.values:
            raise DataError(f"{self.where}: {name!r} is used before it is there")
        return Ref(name)

    def _says_the_batch(self, arguments: Sequence[Any]) -> bool:
        """Whether the first size of a view is the number of images that the file was exported for."""
        x, sizes = arguments[:2]
        return (
            self.fixed_batch is not None
            and isinstance(sizes, list)
            and bool(sizes)
            and sizes[0] == self.fixed_batch
            and not self.builder.is_constant(x.name)
            and self.builder.example(x.name).shape[:1] == (self.fixed_batch,)
        )

    # Layers

    def _layer(self, short: str, arguments: Sequence[Any], outputs: Sequence[str]) -> bool:
        """Add a layer where an operator multiplies by weights; else False."""
        if short in _CONVOLUTIONS:
            return self._convolution(short, arguments, outputs[0])
        if short == "convolution":
            x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = arguments[:9]
            if transposed:
                order = [x, weight, bias, stride, padding, output_padding, groups, dilation]
            else:
                order = [x, weight, bias, stride, padding, dilation, groups]
            axes = len(stride)
            return self._convolution(f"conv_transpose{axes}d" if transposed else f"conv{axes}d", order, outputs[0])
        if short == "linear":
            x, weight, bias = arguments
            return self._linear(x, weight, bias, outputs[0], turned=False)
        if short in ("mm", "matmul"):
            return self._linear(arguments[0], arguments[1], None, outputs[0], turned=True)
        if short == "addmm":
            return self._linear(arguments[1], arguments[2], arguments[0], outputs[0], turned=True)
        if short in _NORMS:
            return self._batch_norm(short, arguments, outputs)
        return False

    def _constants(self, *arguments: Any) -> bool:
        """Whether these arguments are constants, or left out."""
        return all(part is None or self.builder.is_constant(part.name) for part in arguments)

    def _tensor(self, argument: Any) -> Tensor | None:
        return None if argument is None else self.builder.example(argument.name).float()

    def _named(self, weight: Ref, kind: str) -> str:
        """The name of the module that a weight belongs to."""
        return self.origin.get(weight.name, "").rpartition(".")[0] or kind

    def _convolution(self, short: str, arguments: Sequence[Any], output: str) -> bool:
        x, weight, bias = arguments[:3]
        if not self._constants(weight, bias) or self._constants(x):
            return False
        kernel, own_bias = self._tensor(weight), self._tensor(bias)
        if kernel is None or self.builder.example(x.name).dim() != kernel.dim():
            return False  # an image without a batch
        axes = kernel.dim() - 2
        stride, padding, *more = [_spread(value, axes) for value in arguments[3:]]
        if short.startswith("conv_transpose"):
            output_padding, groups, dilation = more[0], arguments[6], more[2]
            options = {"output_padding": output_padding, "groups": groups, "dilation": dilation}
            channels = kernel.shape[0], kernel.shape[1] * groups
        else:
            groups = arguments[6]
            options = {"dilation": more[0], "groups": groups}
            channels = kernel.shape[1] * groups, kernel.shape[0]
        layer = _CONVOLUTIONS[short](
            *channels, tuple(kernel.shape[2:]), stride=stride, padding=padding, bias=own_bias is not None, **options
        )
        self._place(layer, kernel, own_bias, self._named(weight, "conv"), x, output)
        return True

    def _linear(self, x: Any, weight: Any, bias: Any, output: str, *, turned: bool) -> bool:
        if not isinstance(weight, Ref) or not self._constants(weight, bias) or self._constants(x):
            return False
        matrix, own_bias = self._tensor(weight), self._tensor(bias)
        if matrix is None or matrix.dim() != 2 or self.builder.example(x.name).dim() < 2:
            return False
        matrix = matrix.T if turned else matrix
        if own_bias is not None:
            own_bias = own_bias.flatten().expand(len(matrix)) if own_bias.numel() in (1, len(matrix)) else None
            if own_bias is None:
                return False
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], own_bias is not None)
        self._place(layer, matrix, own_bias, self._named(weight, "linear"), x, output)
        return True

    def _batch_norm(self, short: str, arguments: Sequence[Any], outputs: Sequence[str]) -> bool:
        x, scale, shift, mean, variance = arguments[:5]
        if short == "_native_batch_norm_legit_no_training":
            epsilon = arguments[6]
        else:
            epsilon = arguments[7]
            if arguments[5]:
                raise ConfigError("a batch norm in training mode is not read; was it exported in evaluation mode?")
        if mean is None or not self._constants(scale, shift, mean, variance) or self._constants(x):
            return False
        rank = self.builder.example(x.name).dim()
        kinds: Any = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
        own_mean, own_variance = self._tensor(mean), self._tensor(variance)
        if rank not in kinds or own_mean is None or own_variance is None:
            return False
        norm = kinds[rank](len(own_mean), eps=epsilon, affine=scale is not None)
        norm.running_mean, norm.running_var = own_mean.clone(), own_variance.clone()
        self._place(norm, self._tensor(scale), self._tensor(shift), self._named(mean, "norm"), x, outputs[0])
        return True

    def _place(self, layer: Any, weight: Tensor | None, bias: Tensor | None, name: str, x: Ref, output: str) -> None:
        with torch.no_grad():
            for own, value in ((layer.weight, weight), (layer.bias, bias)):
                if own is not None and value is not None:
                    own.copy_(value)
        self.builder.layer(output, name, layer, x.name)


def _names(output: Mapping[str, Any]) -> list[str]:
    ((kind, value),) = output.items()
    if kind in ("as_tensor", "as_optional_tensor"):
        return [value["name"]] if "name" in value else [value["as_tensor"]["name"]]
    if kind == "as_tensors":
        return [entry["name"] for entry in value]
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return [value["as_name"]]
    if kind == "as_none":
        return [""]
    raise ConfigError(f"results of kind {kind.removeprefix('as_')} are not read")


def _spread(value: Any, axes: int) -> Any:
    """A number for each axis, from one for all."""
    if isinstance(value, list):
        return tuple(value * axes if len(value) == 1 else value)
    return value


def _of_the_batch(overload: Callable[..., Any]) -> Callable[..., Any]:
    def view(x: Tensor, sizes: Sequence[int], *more: Any, **options: Any) -> Tensor:
        return overload(x, [len(x), *sizes[1:]], *more, **options)

    return view


_CONVOLUTIONS: dict[str, Any] = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv3d": nn.Conv3d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
    "conv_transpose3d": nn.ConvTranspose3d,
}

_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")

_BATCHED = ("view", "reshape", "_unsafe_view", "expand", "as_strided")
"""Operators whose sizes may hold the number of images."""

_SIZE = "torch.ops.aten.sym_size.int"

_NUMBERS: dict[str, Callable[..., Any]] = {
    _SIZE: lambda x, axis: x.shape[axis],
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.floordiv": operator.floordiv,
    "_operator.truediv": operator.truediv,
    "_operator.mod": operator.mod,
    "_operator.neg": operator.neg,
    "_operator.eq": operator.eq,
    "_operator.ge": operator.ge,
    "_operator.gt": operator.gt,
    "_operator.le": operator.le,
    "_operator.lt": operator.lt,
    "torch.sym_max": max,
    "torch.sym_min": min,
}
"""Operators of whole numbers: sizes and what follows from them."""

_CHECKS = (
    "torch.ops.aten._assert",
    "torch.ops.aten.sym_constrain_range",
    "torch.ops.aten._check",
    "torch._check",
)
"""Operators that only check."""

_OPERATORS = frozenset(
    (
        *("abs", "adaptive_avg_pool1d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "add"),
        *("add_", "addmm", "alias", "amax", "amin", "arange", "argmax", "as_strided", "avg_pool1d", "avg_pool2d"),
        *("baddbmm", "batch_norm", "bmm", "cat", "celu", "chunk", "clamp", "clamp_", "clamp_max", "clamp_min", "clone"),
        *("constant_pad_nd", "contiguous", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"),
        *(
            "conv_transpose3d",
            "convolution",
            "cos",
            "cumsum",
            "detach",
            "detach_",
            "div",
            "div_",
            "dropout",
            "dropout_",
        ),
        *("einsum", "elu", "elu_", "embedding", "eq", "erf", "exp", "expand", "expand_as", "fill", "flatten", "floor"),
        *("full", "full_like", "ge", "gelu", "glu", "group_norm", "gt", "hardsigmoid", "hardsigmoid_", "hardswish"),
        *("hardswish_", "hardtanh", "hardtanh_", "index_select", "instance_norm", "layer_norm", "le", "leaky_relu"),
        *(
            "leaky_relu_",
            "lift_fresh_copy",
            "linear",
            "log",
            "_log_softmax",
            "log_softmax",
            "logical_and",
            "logical_not",
        ),
        *("lt", "masked_fill", "matmul", "max_pool1d", "max_pool2d", "max_pool2d_with_indices", "maximum", "mean"),
        *("minimum", "mish", "mish_", "mm", "mul", "mul_", "narrow", "_native_batch_norm_legit_no_training"),
        *(
            "native_group_norm",
            "native_layer_norm",
            "ne",
            "neg",
            "ones",
            "ones_like",
            "pad",
            "permute",
            "pixel_shuffle",
        ),
        *("pixel_unshuffle", "pow", "prelu", "reciprocal", "reflection_pad2d", "relu", "relu_", "relu6", "relu6_"),
        *("repeat", "replication_pad2d", "reshape", "roll", "round", "rsqrt", "rsub", "scaled_dot_product_attention"),
        *("select", "selu", "selu_", "sigmoid", "sigmoid_", "silu", "silu_", "sin", "slice", "_softmax", "softmax"),
        *("softplus", "split", "split_with_sizes", "sqrt", "square", "squeeze", "stack", "sub", "sub_", "sum", "t"),
        *("tanh", "tanh_", "to", "_to_copy", "transpose", "tril", "triu", "unbind", "unflatten", "_unsafe_view"),
        *("unsqueeze", "upsample_bilinear2d", "upsample_nearest2d", "var", "view", "where", "zeros", "zeros_like"),
    )
)
"""aten's operators that are read: pure functions of tensors, and their forms in place."""

__all__ = ["Exported", "from_exported"]
