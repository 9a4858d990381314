"""A network's weights on disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from xpert.errors import DataError
from xpert.tensors import read_tensors, write_tensors


def save_weights(model: nn.Module, path: Path | str) -> None:
    """Write a model's parameters and buffers.

    Raises:
        RunError: If the file cannot be written.
    """
    write_tensors(path, model.state_dict())


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Read what `save_weights` wrote into a model of the same shape.

    Raises:
        DataError: If the file is missing or broken, or its tensors are not this model's; the model is then unchanged.
    """
    fill(model, read_tensors(path)[0], str(path))


def fill(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Copy tensors into a model's parameters and buffers of the same names.

    Raises:
        DataError: If a name, shape or type is not the model's; the model is then unchanged.
    """
    own = model.state_dict()
    for names, problem in (
        (own.keys() - tensors.keys(), "the network needs"),
        (tensors.keys() - own.keys(), "the network has no"),
    ):
        if names:
            raise DataError(f"{where}: {problem} {min(names)!r}: these are the weights of another network")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise DataError(
                f"{where}: {name} must be {own[name].dtype} {list(own[name].shape)}, "
                f"is {tensor.dtype} {list(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


__all__ = ["fill", "load_weights", "save_weights"]
