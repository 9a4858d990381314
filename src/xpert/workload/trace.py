"""The layers of any torch module, found by running it once and watching what it computes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from xpert.design import Layer
from xpert.errors import ConfigError

_RELU = {"relu", "relu_", "relu6", "leaky_relu", "leaky_relu_"}
_ADD = {"add", "add_", "__add__", "__radd__", "__iadd__"}
_POOL = {"max_pool2d": "max", "max_pool2d_with_indices": "max", "avg_pool2d": "average"}
_GLOBAL_POOL = {"adaptive_avg_pool2d": "average", "adaptive_max_pool2d": "max", "mean": "average", "amax": "max"}
_UNMAPPED = {
    "conv1d": "a 1-d convolution",
    "conv3d": "a 3-d convolution",
    "conv_transpose1d": "a transposed convolution",
    "conv_transpose2d": "a transposed convolution",
    "conv_transpose3d": "a transposed convolution",
    "matmul": "a matrix product outside nn.Linear",
    "__matmul__": "a matrix product outside nn.Linear",
    "__rmatmul__": "a matrix product outside nn.Linear",
    "mm": "a matrix product outside nn.Linear",
    "bmm": "a matrix product outside nn.Linear",
    "baddbmm": "a matrix product outside nn.Linear",
    "addmm": "a matrix product outside nn.Linear",
    "einsum": "a matrix product outside nn.Linear",
    "bilinear": "a bilinear layer",
    "scaled_dot_product_attention": "attention",
    "multi_head_attention_forward": "attention",
    "_native_multi_head_attention": "attention",
    "embedding": "an embedding",
    "rnn_tanh": "a recurrent layer",
    "rnn_relu": "a recurrent layer",
    "lstm": "a recurrent layer",
    "gru": "a recurrent layer",
}
"""Functions whose products a crossbar would have to compute, but which `Layer` cannot describe."""


def trace(module: nn.Module, input_shape: tuple[int, int, int]) -> tuple[Layer, ...]:
    """The convolution and linear layers of a module in the order in which they run, with what follows each.

    The module runs once on an image of zeros, so control flow, functional calls and residual connections are all seen:

    - ReLU, leaky ReLU or ReLU6 sets `relu` of the layers whose output reaches it.
    - Pooling multiplies `pool`; overlapping windows count by their stride, a global average by the side of the map.
      What is pooled more than once counts as averaged if an average is among it.
    - A sum of two maps sets `residual` of the layer among its sources that ran last; a ReLU after it is that layer's.
    - A linear layer that runs at n positions is a 1x1 convolution on an n x 1 map.

    What comes before the first layer, and other digital work such as batch norm, belongs to no layer.

    Args:
        module: Any module that takes images [1, channels, height, width]; its state is left as it was.
        input_shape: Channels, height and width of an image.

    Raises:
        ConfigError: If the module does not run on such an image, has no layer, runs a layer twice, or computes what
            crossbars cannot hold (other convolutions than plain 2-d ones, attention, recurrent layers).
    """
    parameter = next(module.parameters(), torch.empty(0))
    image = torch.zeros(1, *input_shape, device=parameter.device, dtype=parameter.dtype)
    recorder = _Recorder()
    recorder.know(image, frozenset())
    with recorder.watch(module), _evaluation_mode(module), torch.no_grad():
        try:
            module(image)
        except ConfigError:
            raise
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
            shape = "x".join(map(str, input_shape))
            reason = " ".join(str(error).split())
            raise ConfigError(f"the module does not run on an image of {shape}: {reason}") from None
    if not recorder.layers:
        raise ConfigError("the module has no convolution or linear layer")
    return tuple(Layer.parse(fields, fields["name"]) for fields in recorder.layers)


@contextlib.contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for part, training in modes.items():
            part.training = training


class _Recorder(TorchFunctionMode):
    """Watches functions and modules, and knows from which layers each tensor came."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[dict[str, Any]] = []
        self._path: list[str] = []
        self._layers_entered = 0
        # Tensors are kept alive together with their sources, so that no id is used twice.
        self._sources: dict[int, tuple[Tensor, frozenset[int]]] = {}

    def know(self, value: Any, sources: frozenset[int]) -> None:
        """Remember that the tensors in a value came from these layers."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                self._sources[id(tensor)] = (tensor, sources)

    def sources(self, value: Any) -> frozenset[int]:
        """The layers that the tensors in a value came from."""
        known = (self._sources.get(id(leaf)) for leaf in tree_leaves(value))
        return frozenset().union(*(entry[1] for entry in known if entry))

    @contextlib.contextmanager
    def watch(self, module: nn.Module) -> Iterator[None]:
        """Record while the module runs."""
        handles = []
        for name, part in module.named_modules():
            handles.append(part.register_forward_pre_hook(self._enter(name or "module"), with_kwargs=True))
            handles.append(part.register_forward_hook(self._leave, with_kwargs=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        def enter(part: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
            self._path.append(name)
            self._layers_entered += isinstance(part, nn.Conv2d | nn.Linear)

        return enter

    def _leave(self, part: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        if isinstance(part, nn.Conv2d):
            image = arguments[0] if arguments else options["input"]
            self._add_conv(image, part.weight, output, part.stride, part.padding, part.dilation, part.groups)
        elif isinstance(part, nn.Linear):
            self._add_linear(arguments[0] if arguments else options["input"], part.weight, output)
        elif any(id(leaf) not in self._sources for leaf in tree_leaves(output)):
            # Computed where functions cannot be watched, as by a custom autograd function.
            self.know(output, self.sources((arguments, options)))
        self._layers_entered -= isinstance(part, nn.Conv2d | nn.Linear)
        self._path.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = self.sources((args, kwargs))
        # Functions that work in place may change the shape of what they are given.
        shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
        output = func(*args, **kwargs)
        if self._layers_entered:
            return output
        name = func.__name__
        if name in _UNMAPPED:
            raise ConfigError(f"{self._path[-1]}: {_UNMAPPED[name]} cannot be mapped, only nn.Conv2d and nn.Linear")
        if name == "conv2d":
            self._functional_conv(output, *args, **kwargs)
        elif name == "linear":
            self._add_linear(args[0], args[1] if len(args) > 1 else kwargs["weight"], output)
        elif name in _ADD and len(args) > 1 and all(self.sources(term) for term in args[:2]):
            last = max(before)
            self.layers[last]["residual"] = True
            self.know(output, frozenset({last}))
        else:
            factor, kind = 1, None
            if name in _POOL:
                factor, kind = self._window_step(*args[1:], **kwargs), _POOL[name]
            elif name in _GLOBAL_POOL and len(shape) == 4:
                factor, kind = self._shrinkage(shape, tuple(output.shape)), _GLOBAL_POOL[name]
            for layer in (self.layers[index] for index in before):
                layer["relu"] |= name in _RELU
                layer["pool"] *= factor
                if factor > 1 and layer["pool_kind"] != "average":
                    layer["pool_kind"] = kind
            self.know(output, before)
        return output

    def _window_step(self, kernel_size: Any, stride: Any = None, *_: Any, **__: Any) -> int:
        return self._square("pooling", stride or kernel_size)

    def _shrinkage(self, before: tuple[int, ...], after: tuple[int, ...]) -> int:
        """By how much a function that fits its windows to the map shrinks it."""
        if after[:2] != before[:2]:
            return 1
        sides = [old / new for old, new in zip(before[2:], after[2:] or (1, 1))]
        return self._square("pooling", sides)

    def _functional_conv(
        self,
        output: Tensor,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> None:
        self._add_conv(input, weight, output, stride, padding, dilation, groups)

    def _add_conv(
        self, input: Tensor, weight: Tensor, output: Tensor, stride: Any, padding: Any, dilation: Any, groups: int
    ) -> None:
        kernel = weight.shape[2:]
        if isinstance(padding, str):
            padding = 0 if padding == "valid" else tuple((side - 1) / 2 for side in kernel)
        self._add(
            output,
            kind="conv",
            in_channels=input.shape[1],
            out_channels=weight.shape[0],
            in_height=input.shape[2],
            in_width=input.shape[3],
            kernel_height=kernel[0],
            kernel_width=kernel[1],
            stride=self._square("stride", stride),
            padding=self._square("padding", padding),
            groups=groups,
        )
        if (dilated := self._square("dilation", dilation)) != 1:
            raise ConfigError(f"{self._path[-1]}: dilation must be 1, got {dilated}")

    def _add_linear(self, input: Tensor, weight: Tensor, output: Tensor) -> None:
        positions = input.numel() // input.shape[-1]
        self._add(
            output,
            kind="linear" if positions == 1 else "conv",
            in_channels=weight.shape[1],
            out_channels=weight.shape[0],
            in_height=positions,
        )

    def _add(self, output: Tensor, **fields: Any) -> None:
        name = self._path[-1]
        if any(layer["name"] == name for layer in self.layers):
            raise ConfigError(f"{name}: runs twice per image; every layer must run once")
        self.know(output, frozenset({len(self.layers)}))
        self.layers.append({"name": name, "pool": 1, "pool_kind": None, "relu": False, **fields})

    def _square(self, name: str, value: Any) -> int:
        sides = tuple(value) if isinstance(value, tuple | list) else (value,)
        if any(side != sides[0] for side in sides) or sides[0] != int(sides[0]):
            raise ConfigError(f"{self._path[-1]}: {name} must be the same whole number on all sides, got {value}")
        return int(sides[0])


__all__ = ["trace"]
