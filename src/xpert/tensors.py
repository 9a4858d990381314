"""Tensors on disk: safetensors, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from xpert.errors import DataError
from xpert.files import write_atomically


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, atomically, with text beside them.

    Raises:
        RunError: If the file cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(plain, metadata))


def read_tensors(path: Path | str, what: str = "weight file") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, and the text beside them.

    Args:
        path: The file.
        what: What it should be, for the message where it is missing.

    Raises:
        DataError: If the file is missing or not a whole safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path}: no such {what}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file: {error}") from None


__all__ = ["read_tensors", "write_tensors"]
