"""Networks that train in few passes over memory, by `xpert.networks.passes`.

Within `fused(model)` chains of modules and residual blocks are followed. Batch norm, ReLU, max pooling and the rounding
of the next layer's input become one operation; a residual block's end adds its shortcut in the same. Modules, their
names and their state stay as they are. Whether a part is computed so is decided at every call: in evaluation mode, on a
GPU, with a hook that would see what is not there any more, or without the C code, the modules compute one by one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from xpert.design.network import both_sides
from xpert.networks import passes
from xpert.networks.assembly import BasicBlock
from xpert.networks.quantised import BFLOAT16_BITS, QuantConv2d, QuantLayer

_Step = Callable[[Tensor], Tensor]


@contextlib.contextmanager
def fused(model: nn.Module) -> Iterator[None]:
    """Within this context a model in training mode computes in few passes, to rounding the same.

    Args:
        model: Its modules `nn.Sequential`, nested ones as one chain, and `BasicBlock` are followed; whatever else it
            does it does as before.
    """
    changed: list[nn.Module] = []
    try:
        for module in model.modules():
            if type(module) is nn.Sequential:
                module.forward = _Chain(module)
            elif type(module) is BasicBlock:
                module.forward = _Block(module)
            else:
                continue
            changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


class _Chain:
    """The forward pass of a chain of modules."""

    def __init__(self, chain: nn.Sequential) -> None:
        self.chain = chain
        self.inner: list[nn.Module] = []
        """Chains within it."""
        modules = list(self._flat(chain))
        self.steps: list[_Step] = []
        while modules:
            step = _Run.of(modules) or modules.pop(0)
            self.steps.append(_Reading(step) if isinstance(step, QuantConv2d) else step)

    def _flat(self, chain: nn.Sequential) -> Iterator[nn.Module]:
        for module in chain:
            if type(module) is nn.Sequential:
                self.inner.append(module)
                yield from self._flat(module)
            else:
                yield module

    def __call__(self, input: Tensor) -> Tensor:
        if any(map(_hooked, self.inner)):
            return nn.Sequential.forward(self.chain, input)
        for step in self.steps:
            input = step(input)
        return input


class _Block:
    """The forward pass of a residual block."""

    def __init__(self, block: BasicBlock) -> None:
        self.block = block
        self.first, self.second = _Reading(block.conv1), _Run(block.norm1, block.relu1, None, block.conv2)
        if block.projects:
            self.shortcut, self.shortcut_norm = _Reading(block.shortcut), _Run(block.shortcut_norm, None, None, None)

    def __call__(self, x: Tensor) -> Tensor:
        block = self.block
        shortcut = self.shortcut_norm(self.shortcut(x)) if block.projects else x
        y = self.second(self.first(x))
        if shortcut.shape == y.shape and _able(block.norm2, y) and not _hooked(block.relu2):
            return passes.normalised(y, *_of_norm(block.norm2), added=shortcut).values
        return block.relu2(block.norm2(y) + shortcut)


@dataclass(frozen=True)
class _Reading:
    """A layer that rounds its input in one pass; any other module is only called."""

    layer: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        if passes.able(x) and _rounds(self.layer, x):
            return self.layer(*passes.rounded(x, self.layer.input_rounding()), rounded=True)
        return self.layer(x)


@dataclass(frozen=True)
class _Run:
    """A batch norm and what follows it, up to the product of the layer that alone reads the result."""

    norm: nn.Module
    relu: nn.Module | None
    pool: nn.Module | None
    layer: nn.Module | None

    @classmethod
    def of(cls, modules: list[nn.Module]) -> _Run | None:
        """The run with which modules begin, which is taken from them; None if they begin with none."""
        if not modules or type(modules[0]) is not nn.BatchNorm2d:
            return None
        norm = modules.pop(0)
        relu = modules.pop(0) if modules and type(modules[0]) is nn.ReLU else None
        pool = modules.pop(0) if modules and type(modules[0]) is nn.MaxPool2d else None
        layer = modules.pop(0) if modules and isinstance(modules[0], QuantConv2d) else None
        return cls(norm, relu, pool, layer)

    def __call__(self, y: Tensor) -> Tensor:
        pooling = _pooling(self.pool, y) if isinstance(self.pool, nn.MaxPool2d) else None
        together = [module for module in (self.relu, self.pool) if module is not None]
        if not _able(self.norm, y) or any(map(_hooked, together)) or (self.pool is not None and pooling is None):
            for module in (self.norm, *together):
                y = module(y)
            return y if self.layer is None else _Reading(self.layer)(y)
        rounding = self.layer.input_rounding() if _rounds(self.layer, y) else None
        values, codes = passes.normalised(
            y, *_of_norm(self.norm), relu=self.relu is not None, rounding=rounding, pooling=pooling
        )
        if self.layer is None:
            return values
        return self.layer(values, codes, rounded=True) if rounding else self.layer(values)


def _hooked(module: nn.Module) -> bool:
    """Whether anything sees what a module reads or gives, or what comes back."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _able(norm: nn.Module, y: Tensor) -> bool:
    """Whether the norm can be computed together with what follows."""
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and not _hooked(norm)
        and (norm.weight is None or norm.weight.dtype == torch.float32)
        and passes.able(y)
        and y.shape[1] == norm.num_features
        and y.numel() > y.shape[1]  # torch says what is wrong with a single value
    )


def _of_norm(norm: Any) -> tuple[Tensor | None, Tensor | None, passes.Norm]:
    """Scale, shift and the rest of a batch norm in training mode, which counts the batch."""
    mean = variance = None
    momentum = norm.momentum
    if norm.track_running_stats:
        mean, variance = norm.running_mean, norm.running_var
        norm.num_batches_tracked.add_(1)
        if momentum is None:  # the plain mean of all batches
            momentum = 1 / float(norm.num_batches_tracked)
    return norm.weight, norm.bias, passes.Norm(mean, variance, momentum or 0.0, norm.eps)


def _pooling(pool: nn.MaxPool2d, y: Tensor) -> passes.Pooling | None:
    """A pooling that can be computed together with what comes before it."""
    if pool.ceil_mode or pool.return_indices or both_sides(pool.dilation) != (1, 1):
        return None
    pooling = passes.Pooling(both_sides(pool.kernel_size), both_sides(pool.stride), both_sides(pool.padding))
    return pooling if passes.can_pool(pooling, y) else None


def _rounds(layer: nn.Module | None, x: Tensor) -> TypeGuard[QuantLayer]:
    """Whether a layer's input can be rounded before it gets there."""
    return (
        isinstance(layer, QuantLayer)
        and layer.training
        and layer.quantised
        and not layer.signed_input
        and not _hooked(layer)
        and (x.dtype == torch.float32 or layer.input_bits <= BFLOAT16_BITS)
    )


__all__ = ["fused"]
