"""NeuroSim's inputs from a network: its table of layers, and each layer's weights and inputs, as its wrapper does it.

Source: neurosim/DNN_NeuroSim_V1.4, `Inference_pytorch/utee/hook.py`, for the form of the files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.design import Layer, Network
from xpert.errors import ConfigError
from xpert.files import write_atomically
from xpert.networks.quantised import QuantConv2d, QuantLayer, quantised_layers

BITS = 8
"""Width of the weights and inputs that are written, NeuroSim's default. [bit]"""

ROWS = 128
"""Rows of NeuroSim's default subarray, all read at once."""


def write_layer_table(folder: Path, name: str, network: Network) -> Path:
    """Write `NetWork_NAME.csv`: maps as they enter, without padding; a flag for pooling; the stride.

    Args:
        folder: Where it is written; made where it is missing.
        name: Of the network.
        network: Its layers.

    Returns:
        The file.

    Raises:
        ConfigError: If a layer is none that NeuroSim knows.
        RunError: If the file cannot be written.
    """
    lines = [",".join(map(str, _row(layer))) for layer in network.layers]
    path = folder / f"NetWork_{_plain(name)}.csv"
    _write(path, "\n".join(lines) + "\n")
    return path


def _row(layer: Layer) -> tuple[int, ...]:
    for word, value, known in (
        ("transposed convolutions", layer.kind == "transposed", False),
        ("groups", layer.groups, 1),
        ("dilation", layer.dilation, 1),
        ("layers that run several times per image", layer.uses, 1),
    ):
        if value != known:
            raise ConfigError(f"{layer.name}: NeuroSim knows no {word}")
    if not isinstance(layer.stride, int):
        raise ConfigError(f"{layer.name}: NeuroSim knows one stride for both directions, got {layer.stride}")
    return (
        *(layer.in_height, layer.in_width, layer.in_channels, layer.kernel_height, layer.kernel_width),
        *(layer.out_channels, int(layer.pool != 1), layer.stride),
    )


@torch.no_grad()
def write_traces(folder: Path, name: str, network: Network, model: nn.Module, image: Tensor) -> Path:
    """Write the table, the weights and inputs of each layer for one image, and `trace_command.sh`.

    Weights are codes of 8 bits as multiples of 1/128, [rows, outputs]; inputs are bits, most significant first, in
    two's complement of 8 bits, [rows, positions x 8]. Rows go by input channel, then the kernel's rows and columns.

    Args:
        folder: Where NeuroSim's own folder `NeuroSIM` lies, or a folder of its own.
        name: Of the network.
        network: Its layers.
        model: Its quantised module.
        image: Normalised image [1, channels, height, width].

    Returns:
        The command file, which runs in that folder.

    Raises:
        ConfigError: If a layer is none that NeuroSim knows.
        RunError: If a file cannot be written.
    """
    table = write_layer_table(folder / "NeuroSIM", name, network)
    layers = quantised_layers(model)
    absent = [layer.name for layer in network.layers if layer.name not in layers]
    if absent:
        raise ConfigError(f"{absent[0]}: not a convolution or linear layer of the module, so that it has no inputs")
    inputs: dict[str, Tensor] = {}

    def observer(layer: str) -> Callable[..., None]:
        def observe(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[layer] = arguments[0]

        return observe

    handles = [layer.register_forward_pre_hook(observer(key)) for key, layer in layers.items()]
    try:
        model.eval()(image)
    finally:
        for handle in handles:
            handle.remove()
    records = Path(f"layer_record_{_plain(name)}")
    words: list[Any] = ["./NeuroSIM/main", f"./NeuroSIM/{table.name}", BITS, BITS, ROWS, ROWS]
    for shape in network.layers:
        layer, plain = layers[shape.name], _plain(shape.name)
        layer.set_precision(BITS, BITS)
        weight = layer.integer_weight().value.flatten(1).T.double() / 2 ** (BITS - 1)
        files = {f"weight{plain}.csv": _lines(weight.numpy(), "%10.5f")}
        files[f"input{plain}.csv"] = _lines(_bits(layer, inputs[shape.name]).numpy(), "%d")
        for file, text in files.items():
            _write(folder / records / file, text)
            words.append(f"./{records / file}")
    command = folder / records / "trace_command.sh"
    _write(command, " ".join(shlex.quote(str(word)) for word in words) + "\n")
    return command


def _bits(layer: QuantLayer, x: Tensor) -> Tensor:
    """The bits of a layer's input vectors, [rows, positions x BITS]."""
    if layer.signed_input:
        largest = 2 ** (BITS - 1) - 1
        scale = torch.maximum(layer.input_clip, -layer.input_floor) / largest
        codes = torch.round(x / scale).clamp(-largest, largest).int()
    else:
        codes = layer.input_code(x, BITS - 1).value  # the first bit is the sign
    if isinstance(layer, QuantConv2d):
        if isinstance(layer.padding, str):
            raise ConfigError("padding by name is not written")
        vectors = F.unfold(codes.float(), layer.kernel_size, layer.dilation, layer.padding, layer.stride)[0].int()
    else:
        vectors = codes.reshape(-1, codes.shape[-1]).T
    bits = [(vectors >> place) & 1 for place in range(BITS - 1, -1, -1)]
    return torch.stack(bits, dim=-1).flatten(1)


def _lines(array: np.ndarray, form: str) -> str:
    return "\n".join(",".join(form % value for value in row) for row in array) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def _plain(name: str) -> str:
    """A name as a part of a file's."""
    return re.sub(r"[^\w.-]+", "_", name)


__all__ = ["write_layer_table", "write_traces"]
