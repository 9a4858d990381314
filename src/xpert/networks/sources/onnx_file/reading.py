"""An ONNX file as plain records. Needs the package onnx."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xpert.errors import ConfigError, DataError

OPSETS = range(7, 24)
"""Versions of ONNX's operators that are read."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float64)

_WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
"""ONNX's numbers of the types of integers."""


@dataclass
class Node:
    """An operator of a graph."""

    op: str
    """Its kind."""

    name: str
    """A name for messages and layers; may be empty."""

    inputs: tuple[str, ...]
    """Names of its inputs; an empty one is left out."""

    outputs: tuple[str, ...]
    """Names of its outputs."""

    attributes: dict[str, Any] = field(default_factory=dict)
    """Numbers, texts, lists, tensors and graphs."""

    opset: int = 13
    """Version of the operators."""

    domain: str = ""
    """Whose operator it is; empty for ONNX's own."""

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)


@dataclass
class OnnxGraph:
    """A graph, or a branch of one."""

    inputs: dict[str, tuple[int | None, ...]]
    """Inputs that are not constants, with their sizes, None where a size is not fixed."""

    whole: set[str]
    """Those of them that are whole numbers."""

    outputs: tuple[str, ...]
    nodes: list[Node]
    constants: dict[str, Tensor]


@dataclass
class OnnxFile:
    """What a file holds."""

    graph: OnnxGraph
    missing: str | None
    """File beside it that holds weights and is not there; those are zeros then."""


def read_onnx(path: Path) -> OnnxFile:
    """Read a file.

    Raises:
        ConfigError: If the package onnx is missing, or the file holds what is not read.
        DataError: If it is missing or broken.
    """
    try:
        onnx = _module("onnx")
    except ImportError:
        raise ConfigError(f'{path}: reading ONNX needs the package onnx: pip install "xpert-imc[onnx]"') from None
    undecoded = _module("google.protobuf.message").DecodeError
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder, not an ONNX file' if path.is_dir() else 'no such ONNX file'}")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (undecoded, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: not a whole ONNX file: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not model.HasField("graph") or not model.graph.node:
        raise DataError(f"{path}: not an ONNX file: it holds no graph")
    if model.functions:
        model = _without_functions(model, path)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0)) or max(versions.values(), default=0)
    if opset not in OPSETS:
        raise ConfigError(f"{path}: opset {opset}; versions {OPSETS[0]} to {OPSETS[-1]} are read")
    reader = _Reader(path, opset)
    return OnnxFile(reader.graph(model.graph), reader.missing)


def _module(name: str) -> Any:
    """A module of a package that may be missing, so untyped."""
    return importlib.import_module(name)


def _without_functions(model: Any, path: Path) -> Any:
    """A model whose functions stand in the place of their calls."""
    try:
        return _module("onnx.inliner").inline_local_functions(model)
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{path}: its functions cannot be put in place: {' '.join(str(error).split())}") from None


class _Reader:
    def __init__(self, path: Path, opset: int) -> None:
        self.path, self.opset = path, opset
        self.missing: str | None = None

    def graph(self, proto: Any) -> OnnxGraph:
        if proto.sparse_initializer:
            raise ConfigError(f"{self.path}: sparse weights are not read")
        constants = {tensor.name: self.tensor(tensor) for tensor in proto.initializer}
        inputs = {value.name: _sizes(value) for value in proto.input if value.name not in constants}
        whole = {value.name for value in proto.input if value.type.tensor_type.elem_type in _WHOLE}
        return OnnxGraph(
            inputs,
            whole,
            tuple(value.name for value in proto.output),
            [self.node(node) for node in proto.node],
            constants,
        )

    def node(self, proto: Any) -> Node:
        attributes = {attribute.name: self.attribute(attribute) for attribute in proto.attribute}
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        return Node(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes, self.opset, domain)

    def attribute(self, proto: Any) -> Any:
        kind = proto.AttributeType.Name(proto.type)
        if kind == "GRAPH":
            return self.graph(proto.g)
        if kind == "TENSOR":
            return self.tensor(proto.t)
        if kind == "STRING":
            return proto.s.decode(errors="replace")
        if kind == "STRINGS":
            return [text.decode(errors="replace") for text in proto.strings]
        plain = {"INT": "i", "FLOAT": "f", "INTS": "ints", "FLOATS": "floats"}
        if kind not in plain:
            return None  # complained about where an operator asks for it
        value = getattr(proto, plain[kind])
        return list(value) if kind.endswith("S") else value

    def tensor(self, proto: Any) -> Tensor:
        """A tensor; numbers of other float formats become float32, in which networks compute here."""
        onnx, external_data_helper, numpy_helper = map(
            _module, ("onnx", "onnx.external_data_helper", "onnx.numpy_helper")
        )
        if external_data_helper.uses_external_data(proto):
            location = next((entry.value for entry in proto.external_data if entry.key == "location"), "")
            if not (self.path.parent / location).is_file():
                kind = onnx.helper.tensor_dtype_to_np_dtype(proto.data_type)
                if kind.kind != "f":
                    raise DataError(f"{self.path}: {proto.name}: its data lie in {location}, which is missing")
                self.missing = location
                return _as_torch(np.zeros(tuple(proto.dims), dtype=kind))
            try:
                external_data_helper.load_external_data_for_tensor(proto, str(self.path.parent))
            except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
                reason = " ".join(str(error).split())
                raise DataError(f"{self.path}: {proto.name}: its data in {location} cannot be read: {reason}") from None
        try:
            return _as_torch(numpy_helper.to_array(proto, str(self.path.parent)))
        except (ValueError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.path}: {proto.name or 'a constant'}: broken tensor: {reason}") from None


def _as_torch(array: np.ndarray) -> Tensor:
    if array.dtype.kind in "OSU":
        raise ValueError("texts are not read")
    if array.dtype.kind not in "biuf":
        # Formats that numpy itself does not know: bfloat16, 8-bit floats, integers of 4 bits.
        array = array.astype(np.int8 if "int" in array.dtype.name else np.float32)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    tensor = torch.from_numpy(np.ascontiguousarray(array).copy().reshape(array.shape))
    return tensor.float() if tensor.dtype in _FLOATS else tensor


def _sizes(value: Any) -> tuple[int | None, ...]:
    """Sizes of an input; None where one is open."""
    return tuple(
        size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None
        for size in value.type.tensor_type.shape.dim
    )


__all__ = ["Node", "OnnxFile", "OnnxGraph", "read_onnx"]
