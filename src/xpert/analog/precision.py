"""At which precisions a network computes: contexts, so that nothing is measured at what an earlier call left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.design import Chip, Design, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import QuantLayer, quantised_layers


@contextlib.contextmanager
def at_precision(model: nn.Module, design: Design) -> Iterator[None]:
    """Within this context a network computes at the precisions of a design, afterwards at those that it had.

    A quantised network takes weight precision, input precisions and the code of signed inputs. One on crossbars takes
    what changes its sums; its chips and their weights stay.

    Args:
        model: Quantised network, or from `to_analog`.
        design: Of the same network.

    Raises:
        ConfigError: If the layers' names differ.
    """
    described = {layer.name: layer for layer in design.network.layers}
    peripheries = {
        name: periphery
        for (name, layer), periphery in zip(described.items(), design.periphery, strict=True)
        if not layer.digital
    }
    layers = analog_layers(model) or {
        name: layer
        for name, layer in quantised_layers(model).items()
        if name not in described or not described[name].digital
    }
    if layers.keys() != peripheries.keys():
        raise ConfigError(f"layers of model ({', '.join(layers)}) and design ({', '.join(peripheries)}) differ")
    with contextlib.ExitStack() as restored:
        for name, layer in layers.items():
            _set(layer, design.chip, peripheries[name], restored)
        yield


def _set(layer: AnalogLayer | QuantLayer, chip: Chip, periphery: Periphery, restored: contextlib.ExitStack) -> None:
    """Give a layer a design's precisions until the stack closes."""
    if isinstance(layer, AnalogLayer):
        restored.callback(layer.set_periphery, layer.periphery)
        layer.set_periphery(periphery)
        return
    symmetric = chip.analog.signed_inputs == "twos_complement"
    restored.callback(layer.set_precision, layer.weight_bits, layer.input_bits, layer.symmetric_input)
    own = chip.of_layer(periphery.weight_bits, periphery.cell_bits)
    layer.set_precision(own.weight_bits, periphery.input_bits, symmetric)


@contextlib.contextmanager
def as_quantised(model: nn.Module, input_bits: int | None = None) -> Iterator[None]:
    """Within this context layers on crossbars compute as the quantised layers that they stand for.

    Args:
        model: From `to_analog`.
        input_bits: Input precision of all of them, with weights at the chip's precision; each layer's own by default.
            [bit]
    """
    layers = list(analog_layers(model).values())
    with contextlib.ExitStack() as restored:
        for layer in layers:
            restored.callback(setattr, layer, "bypassed", layer.bypassed)
            layer.bypassed = True
            if input_bits is not None:
                restored.callback(layer.set_periphery, layer.periphery)
                values = {"input_bits": input_bits, "weight_bits": None, "cell_bits": None}
                layer.set_periphery(layer.periphery.replace(**values))
        yield


__all__ = ["as_quantised", "at_precision"]
