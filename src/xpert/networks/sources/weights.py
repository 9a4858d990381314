"""Weights of networks that XPert did not train: safetensors, and state dicts that torch has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xpert.errors import DataError
from xpert.tensors import read_tensors

_CONTAINERS = ("state_dict", "model_state_dict", "model")
"""Keys under which checkpoints hold the state dict."""

_PREFIXES = ("module.", "_orig_mod.")
"""What nn.DataParallel and torch.compile put before every name."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file by name: safetensors, or a state dict or checkpoint of `torch.save`.

    Of the latter nothing but tensors and plain containers is read (`weights_only`): no code of the file is run.

    Raises:
        DataError: If the file is missing, broken, holds other objects or no tensors.
    """
    if path.suffix.lower() in (".safetensors", ".st"):
        return read_tensors(path)[0]
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder, not a weight file' if path.is_dir() else 'no such weight file'}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - broken files raise whatever they like
        if any(f"Unsupported {kind}" in str(error) for kind in ("global", "class")):
            detail = str(error).split("WeightsUnpickler error:")[-1].strip().split("\n")[0]
            raise DataError(
                f"{path}: holds more than tensors, which is not read ({detail}); save model.state_dict()"
            ) from None
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: not a weight file (safetensors, or a state dict of torch.save): {reason}") from None
    return _state_dict(found, path)


def _state_dict(found: Any, path: Path) -> dict[str, Tensor]:
    for key in _CONTAINERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"{path}: holds no state dict, but a {type(found).__name__}")
    wrong = next((key for key, value in found.items() if not isinstance(value, Tensor)), None)
    if wrong is not None:
        raise DataError(f"{path}: {wrong!r} is a {type(found[wrong]).__name__}, not a tensor; save model.state_dict()")
    state = {str(name): value for name, value in found.items()}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def fill_from(module: nn.Module, path: Path) -> None:
    """Copy a weight file's tensors into a module's parameters and buffers of the same names; numbers are converted.

    Raises:
        DataError: See `read_state`; also if a name or shape is not the module's, which is then unchanged.
    """
    state, own = read_state(path), module.state_dict()
    missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
    # Counters of batch norms: older files lack them, and nothing depends on them here.
    missing = {name for name in missing if not name.endswith("num_batches_tracked")}
    if missing or unknown:
        name, what = (min(missing), "the network needs") if missing else (min(unknown), "the network has no")
        raise DataError(f"{path}: {what} {name!r}: these are the weights of another network")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise DataError(f"{path}: {name} must be {list(own[name].shape)}, is {list(tensor.shape)}")
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def require_finite(module: nn.Module, where: str) -> None:
    """Complain about a network with weights that are not numbers.

    Raises:
        DataError: Naming the first such parameter or buffer.
    """
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise DataError(f"{where}: {name}: {count} of {tensor.numel()} numbers are NaN or infinite")


__all__ = ["fill_from", "read_state", "require_finite"]
