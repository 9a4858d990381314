"""Analog networks on disk: chips with their weights, conductances, errors and ADC ranges, as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from xpert.analog.convert import swap_in_analog_layers
from xpert.analog.layer import analog_layers
from xpert.design import AnalogSettings, Design
from xpert.errors import DataError
from xpert.files import write_atomically
from xpert.networks.quantised import has_plain_layers, replace_plain

_FORMAT = "xpert analog network 2"


def save_analog(model: nn.Module, path: Path | str) -> None:
    """Write an analog network.

    Args:
        model: From `to_analog`.
        path: A safetensors file.

    Raises:
        RunError: If the file cannot be written.
    """
    signed = {name: layer.signed_input for name, layer in analog_layers(model).items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"format": _FORMAT, "signed_inputs": json.dumps(signed)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_analog(
    model: nn.Module, design: Design, path: Path | str, settings: AnalogSettings | None = None
) -> nn.Module:
    """Read what `save_analog` wrote: the same chips, to the bit; neither calibration images nor a generator is needed.

    Args:
        model: The network as it was given to `to_analog`; its weights play no part. Left as it is.
        design: The design that it was given.
        path: The file.
        settings: The settings that it was given, if any.

    Raises:
        ConfigError: If model and design do not match.
        DataError: If the file is missing or broken, or holds another network.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of an analog network") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file: {error}") from None
    if metadata.get("format") != _FORMAT:
        raise DataError(f"{path}: not an analog network: its format must be {_FORMAT!r}, is {metadata.get('format')!r}")
    signed = json.loads(metadata["signed_inputs"])
    names = {layer.name for layer in design.network.layers}
    if signed.keys() != names:
        raise DataError(f"{path}: holds the layers {', '.join(signed)}, the design has {', '.join(sorted(names))}")
    if has_plain_layers(model):
        model = replace_plain(model, signed, weight_bits=design.chip.weight_bits)
    analog = swap_in_analog_layers(model, design, settings)
    try:
        analog.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(f"{path}: holds another network: {' '.join(str(error).split())}") from None
    return analog


__all__ = ["load_analog", "save_analog"]
