"""A network of the user's own as a search space: its layers, and which widths they may have.

What every layer of a narrower network is follows from what was traced of the whole one. Narrower networks are traced,
too, so that nothing is taken for granted: a network that changes in other ways with its widths is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xpert.design import Layer, Network, NetworkSource
from xpert.errors import ConfigError
from xpert.networks.family import Part, Position, Scaled, Traced, Width
from xpert.networks.quantised import quantise, quantised_layers, replace_plain
from xpert.networks.resizing import Decision, Resizable
from xpert.networks.sources import parse_source
from xpert.networks.sources.loading import LoadedNetwork
from xpert.networks.sources.weights import fill_from, read_state
from xpert.networks.spaces import LEFT_OUT, Options, Space, options_of

_SEED = 0
_TRACES = 5
"""Networks of drawn widths, the narrowest and the whole one among them, that are traced."""

_FIRST = 1e5
"""Weight of the whole network among those that a law is fitted to."""

_RANGE_RATE = 0.01
"""Share of the present range in the running one of inputs that may be negative, in training."""

_FLOOR = ".input_floor"

_FREE = ("in_channels", "out_channels", "groups", "after")
"""Fields of a layer that change with widths."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OwnNetwork:
    """A network of the user's own, whose widths can be chosen.

    Raises:
        ConfigError: When it is used, if it cannot be traced, has no widths to choose, or is no classifier of images.
    """

    loaded: LoadedNetwork
    """The network itself."""

    source: NetworkSource
    """What it was made from."""

    trained: bool = False
    """Whether its weights are to be kept, those of the largest channels, rather than where a training begins."""

    @cached_property
    def resizable(self) -> Resizable:
        """Its widths."""
        found = Resizable(self.loaded.module, self.loaded.input_shape, self.source.optional)
        if not found.decisions:
            why = "; ".join(f"{name}: {reason}" for name, (_, reason) in list(found.kept.items())[:2])
            raise ConfigError(f"{self.loaded.name}: no width of it can be chosen ({why})")
        return found

    def space(self, choices: Options, input_shape: Sequence[int], num_classes: int) -> Space:
        """The networks among which a search chooses.

        Args:
            choices: See `options_of`.
            input_shape: Channels, height and width of an image; the network must take it.
            num_classes: Classes; the network must have as many outputs.

        Raises:
            ConfigError: If the choices do not fit, or the network is no classifier of such images and so many classes.
        """
        shape = self.loaded.input_shape
        if len(shape) != 3:
            raise ConfigError(f"{self.loaded.name}: takes inputs of {shape}, not images")
        if shape != tuple(input_shape):
            raise ConfigError(
                f"network.source: {self.loaded.name} takes inputs of {list(shape)}, the images of dataset are "
                f"{list(input_shape)}; give network.input_shape: {list(input_shape)}, or dataset.size: "
                f"{list(shape[1:])}"
            )
        answers = self.loaded.network().num_classes
        if answers != num_classes:
            raise ConfigError(f"{self.loaded.name}: has {answers} outputs, but the data set has {num_classes} classes")
        options = options_of(self.loaded.name, self.positions, choices)
        if self.source.optional:
            optional = {position.decision for position in self.positions if position.optional_block}
            options = tuple(
                tuple(sorted({LEFT_OUT, *own})) if decision in optional else own for decision, own in enumerate(options)
            )
        return Space(
            self.loaded.name, options, (shape[0], shape[1], shape[2]), num_classes, (), self.positions, self.source
        )

    def module(self, channels: Sequence[int]) -> nn.Module:
        """The module with these widths, in float.

        Of a trained network the channels with the largest weights are kept. Of another one the first are, with the
        weights that its own code draws (seed 0), larger by the square root of the share of inputs that are left: sums
        keep their spread.

        Raises:
            ConfigError: If the widths are not its own.
        """
        if self.trained:
            return self.resizable.resized(channels, by_magnitude=True)
        made = self.resizable.resized(channels)
        whole = dict(self.loaded.module.named_parameters())
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if parameter.dim() > 1 and 0 < parameter.shape[1] < whole[name].shape[1]:
                    parameter *= (whole[name].shape[1] / parameter.shape[1]) ** 0.5
        return made

    def quantised(self, network: Network, images: Tensor, *, weight_bits: int = 8, input_bits: int = 8) -> nn.Module:
        """The module of one of its networks with quantised layers, ready for training.

        Ranges of inputs that may be negative follow the values in training, see `QuantConv2d.range_rate`.

        Args:
            network: From its space.
            images: Normalised images that show which inputs may be negative.
            weight_bits: Weight precision. [bit]
            input_bits: Input precision. [bit]

        Raises:
            ConfigError: If a module multiplies by weights as crossbars cannot.
        """
        made = quantise(self.module(network.channels), images, weight_bits=weight_bits, input_bits=input_bits)
        return _checked(made, network)

    def restored(self, network: Network, weights: Path, weight_bits: int) -> nn.Module:
        """The module of one of its networks with the weights that a training left, quantised as it was.

        Raises:
            DataError: If the weights are missing, broken or another network's.
        """
        tensors, module = read_state(weights), self.resizable.resized(network.channels)
        floors = {name.removesuffix(_FLOOR): value for name, value in tensors.items() if name.endswith(_FLOOR)}
        signed = {name: bool(value.min() < 0) for name, value in floors.items()}
        made = replace_plain(module, signed, weight_bits=weight_bits)
        fill_from(made, weights)
        return _checked(made, network)

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """Its layers, as a `Space` takes them.

        Raises:
            ConfigError: If layers change with the widths in other ways than channels, groups and digital work.
        """
        resizable = self.resizable
        decision_of = {
            int(unit): index
            for index, decision in enumerate(resizable.decisions)
            for group in decision.groups
            for unit in group.units
        }
        units = resizable.channels.units
        gives = [self._width(own.outputs, decision_of) for own in units]
        enters = [self._width(own.inputs, decision_of) for own in units]
        made: list[Position] = []
        for layer, own, (decision, leaving), (entering_by, entering) in zip(
            resizable.channels.layers, units, gives, enters
        ):
            del own
            makers = [index for index, position in enumerate(made) if position.decision == entering_by >= 0]
            if entering_by >= 0 and not makers:
                raise ConfigError(f"{self.loaded.name}: {layer.name} reads a width that a later layer makes")
            made.append(
                Position(
                    layer.name,
                    makers[-1] if makers else -1,
                    decision,
                    resizable.decisions[decision].width if decision >= 0 else layer.out_channels,
                    max(layer.in_height, layer.in_width),
                    layer.kernel_height,
                    relu=layer.relu,
                    residual=layer.residual,
                    traced=Traced(layer, entering, leaving),
                )
            )
        return self._with_blocks(self._with_work(made))

    def _width(self, ends: NDArray[np.int64], decision_of: dict[int, int]) -> tuple[int, Width]:
        """The decision that one end of a layer goes with, -1 if none; and how many channels it has."""
        counts: dict[int, int] = {}
        for unit in ends.tolist():
            if unit in decision_of:
                counts[unit] = counts.get(unit, 0) + 1
        if not counts:
            return -1, Width(constant=len(ends))
        decision = decision_of[next(iter(counts))]
        chosen: Decision = self.resizable.decisions[decision]
        parts = [
            Part(len(group.units), counts[int(group.units[0])], group.channels == 1)
            for group in chosen.groups
            if int(group.units[0]) in counts
        ]
        constant = len(ends) - sum(part.units * part.channels for part in parts)
        return decision, Width(tuple(parts), constant, len(chosen.groups[0].units), chosen.step)

    # Digital work

    def _with_work(self, positions: Sequence[Position]) -> tuple[Position, ...]:
        """Positions with the digital work that follows them, as their channels say, found by tracing."""
        resizable = self.resizable
        generator = np.random.default_rng(_SEED)
        drawn = [[decision.rounded(0.1) for decision in resizable.decisions]]
        drawn += [
            [decision.rounded(generator.uniform(0.1, 1.0)) for decision in resizable.decisions]
            for _ in range(_TRACES - 2)
        ]
        narrower = [resizable.layers_at(channels) for channels in drawn]
        seen = [resizable.channels.layers, *narrower]
        self._check(positions, drawn, seen[1:])
        made = []
        for index, position in enumerate(positions):
            rows = [layers[index] for layers in seen]
            after = tuple(self._scaled(rows, place) for place in range(len(rows[0].after)))
            traced = position.traced
            assert traced is not None  # noqa: S101 (all of them are)
            made.append(replace(position, traced=replace(traced, after=after)))
        return tuple(made)

    def _with_blocks(self, positions: tuple[Position, ...]) -> tuple[Position, ...]:
        """Positions that say which blocks may be left out: those without which all other layers are as they were.

        Behind the last block of a network, for instance, maps are pooled, which then is another layer's.
        """
        resizable = self.resizable
        left_out: set[int] = set()
        for block in resizable.blocks:
            channels = [
                LEFT_OUT if index in {*left_out, block.decision} else decision.width
                for index, decision in enumerate(resizable.decisions)
            ]
            there = [
                position.traced.layer
                for position in positions
                if position.traced and not self._is_within(position, {*left_out, block.decision})
            ]
            if list(resizable.layers_at(channels)) == there:
                left_out.add(block.decision)
        firsts = {position.decision: position for position in reversed(positions)}
        return tuple(
            replace(position, optional_block=position.decision in left_out and firsts[position.decision] is position)
            for position in positions
        )

    def _is_within(self, position: Position, decisions: set[int]) -> bool:
        """Whether a layer is in one of the blocks with these decisions."""
        blocks = [block.path for block in self.resizable.blocks if block.decision in decisions]
        return any(position.name.startswith(f"{path}.") for path in blocks)

    def _check(
        self, positions: Sequence[Position], drawn: Sequence[Sequence[int]], seen: Sequence[Sequence[Layer]]
    ) -> None:
        for channels, layers in zip(drawn, seen):
            names = [layer.name for layer in layers]
            if names != [position.name for position in positions]:
                raise ConfigError(f"{self.loaded.name}: has other layers at other widths")
            for position, layer in zip(positions, layers):
                traced = position.traced
                assert traced is not None  # noqa: S101 (all of them are)
                leaving = traced.gives.at(channels[position.decision]) if position.decision >= 0 else layer.out_channels
                source = positions[position.source].decision if position.source >= 0 else -1
                entering = traced.enters.at(channels[source]) if source >= 0 else layer.in_channels
                whole = traced.layer
                for field in type(layer).model_fields:
                    if field not in _FREE and getattr(layer, field) != getattr(whole, field):
                        raise ConfigError(
                            f"{self.loaded.name}: {field} of {layer.name} changes with the widths, from "
                            f"{getattr(whole, field)} to {getattr(layer, field)}"
                        )
                if (layer.in_channels, layer.out_channels) != (entering, leaving):
                    raise ConfigError(
                        f"{self.loaded.name}: {layer.name} has {layer.in_channels} -> {layer.out_channels} channels "
                        f"where {entering} -> {leaving} were asked for"
                    )
                if [work.kind for work in layer.after] != [work.kind for work in whole.after]:
                    raise ConfigError(f"{self.loaded.name}: other digital work follows {layer.name} at other widths")

    def _scaled(self, rows: Sequence[Layer], place: int) -> Scaled:
        """How digital work after a layer follows from its channels."""
        ends = np.array([[1.0, layer.in_channels, layer.out_channels] for layer in rows])
        counts = []
        for name in ("operations", "reads", "writes", "held"):
            values = np.array([getattr(layer.after[place], name) for layer in rows], dtype=np.float64)
            counts.append(_law(ends, values))
        return Scaled(rows[0].after[place].kind, tuple(counts))


def _checked(module: nn.Module, network: Network) -> nn.Module:
    """A quantised module, if its layers are those of the network."""
    layers = quantised_layers(module)
    if layers.keys() != {layer.name for layer in network.layers}:
        differing = sorted(layers.keys() ^ {layer.name for layer in network.layers})
        raise ConfigError(f"{differing[0]}: is a layer of the traced network or of its modules, but not of both")
    for layer in layers.values():
        layer.range_rate = _RANGE_RATE if layer.signed_input else 0.0
    return module


def _law(ends: Counts, values: Counts) -> tuple[float, float, float]:
    """Constant and shares per channel that give the counts: the simplest that do, or else the nearest.

    Where none does, as behind concatenations of widths that are rounded each for itself, that of the whole network, the
    first one, is met all the same.
    """
    weights = np.where(np.arange(len(values)) == 0, _FIRST, 1.0)
    for columns in ([2], [1], [0], [0, 2], [0, 1], [1, 2], [0, 1, 2]):
        part = ends[:, columns]
        found = np.linalg.lstsq(part * weights[:, None], values * weights, rcond=None)[0]
        if len(columns) == 3 or np.abs(part @ found - values).max() <= max(0.5, 1e-9 * np.abs(values).max()):
            law = np.zeros(3)
            law[columns] = found
            return float(law[0]), float(law[1]), float(law[2])
    raise AssertionError("the last one is taken")


def own_network(
    loaded: LoadedNetwork, source: str, arguments: dict[str, object], *, optional: bool = False, weights: bool = False
) -> OwnNetwork:
    """A network of the user's own, whose widths can be chosen.

    Args:
        loaded: The network.
        source: Its source; of a file the name alone is recorded.
        arguments: What it was made with.
        optional: Whether blocks may be left out.
        weights: Whether weights were given for it.
    """
    parsed = parse_source(source)
    shown = source
    if parsed.is_file:
        shown = Path(parsed.place).name + (f":{parsed.name}" if parsed.name else "")
    trained = weights or (loaded.untrained is None and parsed.kind != "python")
    return OwnNetwork(loaded, NetworkSource(source=shown, arguments=arguments, optional=optional), trained)


__all__ = ["OwnNetwork", "own_network"]
