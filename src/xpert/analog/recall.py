"""A network on crossbars that is run with one design after the other computes only what has changed.

Designs that a search measures in turn differ in few layers. What the layers before the first of these give for the same
images on the same chips is what they gave before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from xpert.analog.layer import AnalogLayer, analog_layers

LIMIT = 1 << 29
"""Bytes of outputs that are kept. Batches that come first are; others are computed anew."""


@dataclass(frozen=True)
class _Pass:
    """One run of a batch: its layers in the order in which they computed."""

    names: tuple[str, ...]
    keys: tuple[str, ...]
    """What decides each layer's sums, beside its input."""
    outputs: tuple[Tensor, ...]


@contextlib.contextmanager
def recorded(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What layers give within this context, in the order in which they compute; there when it ends.

    Nothing where a layer computes twice, or another one changes its output in place: that would not do to go on from.

    Args:
        layers: By name.
    """
    found: list[tuple[str, Tensor, int]] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda _module, _inputs, output: found.append((name, output, output._version))

    outputs: dict[str, Tensor] = {}
    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
    if len({name for name, _, _ in found}) == len(found) and all(one._version == was for _, one, was in found):
        outputs.update((name, output) for name, output, _ in found)


class Recall:
    """Runs a network on chips that stay as they are, and whose peripheries change.

    Of every batch the last pass is kept, and the one that had most in common with it: while single layers of a design
    are changed in turn, that is the design itself.

    Args:
        model: From `to_analog`.
        limit: Bytes of outputs that are kept.
    """

    def __init__(self, model: nn.Module, limit: int = LIMIT) -> None:
        self._model, self._limit = model, limit
        self._layers = analog_layers(model)
        self._passes: dict[Hashable, list[_Pass]] = {}

    def __call__(self, images: Tensor, batch: Hashable) -> Tensor:
        """The network's output.

        Args:
            images: A batch.
            batch: Stands for these images on the present chips, as new as they are now.
        """
        keys = {name: _key(layer) for name, layer in self._layers.items()}
        known = max(self._passes.get(batch, ()), key=lambda one: _common(one, keys), default=None)
        same = 0 if known is None else _common(known, keys)
        if known is not None:
            for name, output in zip(known.names[:same], known.outputs):
                self._layers[name].recalled = output
        try:
            with recorded(self._layers) as outputs:
                result = self._model(images)
        finally:
            for layer in self._layers.values():
                layer.recalled = None
        if outputs:
            names = tuple(outputs)
            self._keep(batch, _Pass(names, tuple(keys[name] for name in names), tuple(outputs.values())), known)
        return result

    def _keep(self, batch: Hashable, latest: _Pass, known: _Pass | None) -> None:
        before = self._passes.pop(batch, [])
        for kept in ([latest] if known is None else [known, latest], [latest]):
            self._passes[batch] = kept
            if self._bytes() <= self._limit:
                return
        self._passes.pop(batch)
        if before:  # it had room
            self._passes[batch] = before[-1:]

    def _bytes(self) -> int:
        tensors = {
            output.data_ptr(): output.nbytes
            for passes in self._passes.values()
            for one in passes
            for output in one.outputs
        }
        return sum(tensors.values())


def _key(layer: AnalogLayer) -> str:
    """What decides a layer's sums, beside its input."""
    return layer.periphery.short() if layer.chip.analog.adcs_differ else layer.periphery.sums_key()


def _common(known: _Pass, keys: dict[str, str]) -> int:
    """Layers, of those that came first, that are as they were."""
    for index, (name, key) in enumerate(zip(known.names, known.keys)):
        if keys[name] != key:
            return index
    return len(known.names)


__all__ = ["LIMIT", "Recall", "recorded"]
