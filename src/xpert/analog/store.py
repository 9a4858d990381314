"""Analog networks on disk: chips with their weights, conductances, errors and ADC ranges, as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from xpert.analog.convert import swap_in_analog_layers
from xpert.analog.layer import analog_layers
from xpert.design import AnalogSettings, Design
from xpert.errors import DataError
from xpert.networks.quantised import has_plain_layers, quantised_layers, replace_plain
from xpert.tensors import read_tensors, write_tensors

_FORMAT = "xpert analog network 2"


def save_analog(model: nn.Module, path: Path | str) -> None:
    """Write an analog network.

    Args:
        model: From `to_analog`.
        path: A safetensors file.

    Raises:
        RunError: If the file cannot be written.
    """
    layers = analog_layers(model)
    inner = {id(layer.layer) for layer in layers.values()}
    digital = {name: layer for name, layer in quantised_layers(model).items() if id(layer) not in inner}
    signed = {name: layer.signed_input for name, layer in (layers | digital).items()}
    tensors = model.state_dict()
    write_tensors(
        path, {name: tensors[name] for name in _names(model)}, {"format": _FORMAT, "signed_inputs": json.dumps(signed)}
    )


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
    tensors, metadata = read_tensors(path, "file of an analog network")
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
        missing, unknown = analog.load_state_dict(tensors, strict=False)
        if wrong := [*unknown, *(name for name in missing if name in _names(analog))]:
            raise RuntimeError(f"{wrong[0]} is on one side only")
    except RuntimeError as error:
        raise DataError(f"{path}: holds another network: {' '.join(str(error).split())}") from None
    return analog


def _names(model: nn.Module) -> list[str]:
    """What a model's state consists of; a layer that is registered twice has its first names alone."""
    once = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    return [name for name in model.state_dict() if name in once]


__all__ = ["load_analog", "save_analog"]
