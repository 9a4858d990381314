"""Weights on disk: safetensors, never pickle."""

from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from xpert.errors import DataError
from xpert.files import write_atomically


def write_tensors(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, atomically, with text beside them.

    Raises:
        RunError: If the file cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(plain, metadata))


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, and the text beside them.

    Raises:
        DataError: If the file is missing or not a whole safetensors file.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path}: no such weight file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file: {error}") from None


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


__all__ = ["fill", "load_weights", "read_tensors", "save_weights", "write_tensors"]
