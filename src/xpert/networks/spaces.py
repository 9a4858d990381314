"""Search spaces: which networks a backbone, or one of the user's own, can become, layer by layer. No torch here.

A backbone is a list of positions, one for each layer on crossbars: the shape of the layer, the earlier layer that feeds
it, and the channel decision that it takes. In a chain every convolution decides for itself; the maps that a residual
network adds up are as wide as one another, so the layers that make them share one decision.

A network of the user's own has such positions, too, made from what was traced (`own.py`): a decision's channels say
how many channels each end of a layer has, which may be others where outputs are concatenated or maps are flattened.

A 3x3 convolution may choose another kernel; kernel 0 leaves the layer out, between equal widths. Of a residual block,
0 channels within it leave out both layers: what enters it passes by, along the shortcut. What is particular to a
family of backbones is in its file in `backbones/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

from xpert.design import Layer, Network, NetworkSource
from xpert.design.network import LARGEST_KERNEL
from xpert.errors import ConfigError
from xpert.networks.backbones import BACKBONES
from xpert.networks.family import DEPTHWISE, Family, Position, rounded_units

LEFT_OUT = 0
"""Kernel of a layer, or channels within a residual block, that is not there."""


@dataclass(frozen=True)
class Space:
    """A backbone with options for every channel decision and kernel."""

    name: str
    """Backbone, one of those in `BACKBONES`, or what messages call a network of the user's own."""

    choices: tuple[tuple[int, ...], ...]
    """Options of each channel decision, in order; `LEFT_OUT` among them where a residual block may be left out."""

    input_shape: tuple[int, int, int] = (3, 32, 32)
    """Channels, height and width of an image."""

    num_classes: int = 10
    """Classes."""

    kernels: tuple[tuple[int, ...], ...] = ()
    """Kernel sides that each layer may have, `LEFT_OUT` among them where it may be left out; by default its own."""

    own: tuple[Position, ...] = ()
    """The layers of a network of the user's own; empty: those of the backbone."""

    source: NetworkSource | None = None
    """Where a network of the user's own comes from."""

    def __post_init__(self) -> None:
        if len(self.choices) != self.depth:
            raise ConfigError(f"{self.name} has {self.depth} channel decisions, got options for {len(self.choices)}")
        for index, options in enumerate(self.choices):
            if not options or any(a >= b for a, b in pairwise(options)) or options[0] < 0:
                raise ConfigError(
                    f"channel options of decision {index} must be positive and rising, got "
                    f"{', '.join(map(str, options))}"
                )
            for option in options:
                self._check_channels(index, option)
        if not self.kernels:
            object.__setattr__(self, "kernels", tuple((kernel,) for kernel in self.backbone_kernels))
        if len(self.kernels) != len(self.positions):
            raise ConfigError(f"{self.name} has {len(self.positions)} layers, got kernels for {len(self.kernels)}")
        for options, position in zip(self.kernels, self.positions):
            if not options or any(a >= b for a, b in pairwise(options)):
                raise ConfigError(f"kernels of {position.name} must rise, got {', '.join(map(str, options))}")
            for kernel in options:
                _check_kernel(self.name, position, kernel)
        if self.num_classes < 2:
            raise ConfigError(f"num_classes must be at least 2, got {self.num_classes}")

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """The layers on crossbars, in the order in which they run; the last one is the classifier."""
        return self.own or layer_positions(self.name, self.input_shape)

    @property
    def depth(self) -> int:
        """Number of channel decisions: in a chain the searched layers."""
        return 1 + max(position.decision for position in self.positions)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(position.name for position in self.positions)

    @property
    def inputs(self) -> tuple[int, ...]:
        """For every layer the earlier one that feeds it; -1 is the image."""
        return tuple(position.source for position in self.positions)

    @property
    def decisions(self) -> tuple[int, ...]:
        """For every layer the channel decision that is its output width; -1 where it stays, as the classifier's."""
        return tuple(position.decision for position in self.positions)

    @property
    def leaders(self) -> tuple[int, ...]:
        """For every layer the first one that takes the same channel decision: itself, or the one it is tied to."""
        return tuple(
            self.decisions.index(decision) if decision >= 0 else index for index, decision in enumerate(self.decisions)
        )

    @property
    def decided_by(self) -> tuple[int, ...]:
        """For every channel decision the first layer whose output width it is."""
        return tuple(self.decisions.index(decision) for decision in range(self.depth))

    @property
    def widths(self) -> tuple[tuple[int, ...], ...]:
        """For every layer the output channels that it may have; the classifier has the classes alone."""
        return tuple(
            tuple(map(position.leaving, self.choices[position.decision])) if position.decision >= 0 else (fixed,)
            for position, fixed in zip(self.positions, self._fixed)
        )

    @cached_property
    def _fixed(self) -> tuple[int, ...]:
        """For every layer its output channels where these stay."""
        return tuple(p.traced.layer.out_channels if p.traced else self.num_classes for p in self.positions)

    @property
    def choices_of_layers(self) -> tuple[tuple[int, ...], ...]:
        """For every layer the options of its channel decision; one where its width stays."""
        return tuple(
            self.choices[decision] if decision >= 0 else (fixed,)
            for decision, fixed in zip(self.decisions, self._fixed)
        )

    @property
    def entering(self) -> tuple[tuple[int, ...], ...]:
        """For every layer the input channels that it may have, one for each option of the layer that feeds it."""
        options = self.choices_of_layers
        return tuple(
            tuple(map(position.entering, options[position.source]))
            if position.source >= 0
            else (self._image(position),)
            for position in self.positions
        )

    def _image(self, position: Position) -> int:
        """Input channels of a layer that reads the image, or what never changes its width."""
        return position.traced.layer.in_channels if position.traced else self.input_shape[0]

    @property
    def default_channels(self) -> tuple[int, ...]:
        """The original widths; a backbone's are scaled so that the widest is the largest option."""
        original = {
            position.decision: position.width for position in reversed(self.positions) if position.decision >= 0
        }
        if self.own:
            return tuple(original[decision] for decision in range(self.depth))
        scale = max(max(options) for options in self.choices) / max(original.values())
        return tuple(max(1, round(original[decision] * scale)) for decision in range(self.depth))

    @property
    def own_layers(self) -> bool:
        """Whether no layer may be left out or have another kernel than the backbone's own."""
        return not self.offers_missing_blocks and self.kernels == tuple((kernel,) for kernel in self.backbone_kernels)

    @property
    def offers_missing_blocks(self) -> bool:
        """Whether a residual block may be left out."""
        return any(LEFT_OUT in options for options in self.choices)

    @property
    def backbone_kernels(self) -> tuple[int, ...]:
        """The kernel side of every layer in the backbone itself."""
        return tuple(position.kernel for position in self.positions)

    def present(self, channels: Sequence[int], kernels: Sequence[int] = ()) -> tuple[bool, ...]:
        """Which layers are there: those with inputs, outputs and a kernel.

        Args:
            channels: Of every channel decision.
            kernels: Of every layer; by default the backbone's own.
        """
        entering, leaving = self._widths(channels)
        chosen = kernels or self.backbone_kernels
        return tuple(LEFT_OUT not in sizes for sizes in zip(entering, leaving, chosen, strict=True))

    def layer(self, index: int, in_channels: int, out_channels: int, kernel: int | None = None) -> Layer:
        """The mapped layer at a position, for given widths.

        Args:
            index: 0 ... number of layers - 1; the last is the classifier.
            in_channels: Input channels; any number, so that cost tables can be filled.
            out_channels: Output channels (classifier: classes).
            kernel: Side of its kernel; by default the backbone's own.

        Raises:
            ConfigError: If the index is out of range.
        """
        if not 0 <= index < len(self.positions):
            raise ConfigError(f"{self.name} has layers 0 ... {len(self.positions) - 1}, got {index}")
        return self.positions[index].layer(in_channels, out_channels, kernel)

    def network(self, channels: Sequence[int], kernels: Sequence[int] = ()) -> Network:
        """The network with these channel decisions and kernels; they need not be among the options.

        Args:
            channels: Of every channel decision, `LEFT_OUT` where the residual block is not there.
            kernels: Of every layer, `LEFT_OUT` for one that is not there; by default the backbone's own. Of a layer in
                a block that is not there they make no difference.

        Raises:
            ConfigError: If there are too many or too few, one is none that the layer can have, or a layer is left out
                between different widths.
        """
        if len(channels) != self.depth:
            raise ConfigError(f"{self.name} needs {self.depth} channels, got {len(channels)}")
        for decision, number in enumerate(channels):
            self._check_channels(decision, number)
        entering, leaving = self._widths(channels)
        own = self.backbone_kernels
        chosen = tuple(kernels) or own
        if len(chosen) != len(own):
            raise ConfigError(f"{self.name} has {len(own)} layers, got {len(chosen)} kernels")
        for position, kernel, before, after in zip(self.positions, chosen, entering, leaving):
            _check_kernel(self.name, position, kernel)
            if kernel == LEFT_OUT and before != after:
                raise ConfigError(f"{position.name} cannot be left out between {before} and {after} channels")
        present = self.present(channels, chosen)
        # Equal networks are described alike: the layers of a missing block keep the backbone's kernels.
        described = tuple(
            kernel if there or kernel == LEFT_OUT else default for kernel, there, default in zip(chosen, present, own)
        )
        return Network(
            backbone="custom" if self.own else self.name,
            source=self.source,
            channels=tuple(channels),
            kernels=described if described != own else (),
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            layers=tuple(
                self.layer(index, before, after, kernel)
                for index, (before, after, kernel, there) in enumerate(zip(entering, leaving, chosen, present))
                if there
            ),
        )

    def _widths(self, channels: Sequence[int]) -> tuple[list[int], list[int]]:
        """Input and output channels of every layer."""
        chosen = [
            channels[decision] if decision >= 0 else fixed for decision, fixed in zip(self.decisions, self._fixed)
        ]
        entering = [
            position.entering(chosen[position.source]) if position.source >= 0 else self._image(position)
            for position in self.positions
        ]
        leaving = [
            position.leaving(width) if position.decision >= 0 else width
            for position, width in zip(self.positions, chosen)
        ]
        return entering, leaving

    def _check_channels(self, decision: int, channels: int) -> None:
        """Whether a channel decision can have a width."""
        optional = _optional_blocks(self.positions)
        if channels > 0 or (channels == LEFT_OUT and decision in optional):
            self._check_groups(decision, channels)
            self._check_own(decision, channels)
            return
        name = self.positions[self.decided_by[decision]].name
        allowed = f"; residual blocks of {self.name} that may be left out (0): {', '.join(optional.values()) or 'none'}"
        raise ConfigError(
            f"channels of decision {decision}, {name}, must be positive, got {channels}"
            f"{allowed if channels == LEFT_OUT else ''}"
        )

    def _check_own(self, decision: int, channels: int) -> None:
        """Whether a width can be that of a network of the user's own."""
        position = self.positions[self.decided_by[decision]]
        if position.traced is None:
            return
        step, most = position.traced.gives.step, position.width
        if channels > most or channels % step:
            whole = f", a multiple of {step}" if step > 1 else ""
            raise ConfigError(f"channels of {self.names[decision]} must be at most {most}{whole}, got {channels}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of every channel decision, the name of the first layer whose output width it is."""
        return tuple(self.positions[index].name for index in self.decided_by)

    def _check_groups(self, decision: int, channels: int) -> None:
        """Whether a width can be split among the groups of the layers that it leaves or enters."""
        for position in self.positions:
            ends = {position.decision, *([self.decisions[position.source]] if position.source >= 0 else [])}
            if (
                position.traced is None
                and position.groups != DEPTHWISE
                and decision in ends
                and channels % position.groups
            ):
                raise ConfigError(
                    f"channels of decision {decision} must be a multiple of {position.groups}, the groups of "
                    f"{position.name}, got {channels}"
                )


def _check_kernel(backbone: str, position: Position, kernel: int) -> None:
    """Whether a layer can have a kernel."""
    if kernel == position.kernel:
        return
    if kernel == LEFT_OUT:
        if not position.optional:
            raise ConfigError(f"kernels: {position.name} of {backbone} cannot be left out (kernel 0)")
    elif position.kernel == 1:
        raise ConfigError(f"kernels: {position.name} of {backbone} has a 1x1 kernel, got {kernel}")
    elif kernel < 1 or kernel % 2 == 0 or kernel > LARGEST_KERNEL:
        raise ConfigError(f"kernels must be odd, 1 to {LARGEST_KERNEL}, or 0 to leave a layer out, got {kernel}")


def _optional_blocks(positions: Sequence[Position]) -> dict[int, str]:
    """The channel decisions that may be 0, and the residual blocks which that leaves out."""
    return {position.decision: position.name.rpartition(".")[0] for position in positions if position.optional_block}


def layer_positions(name: str, input_shape: tuple[int, int, int]) -> tuple[Position, ...]:
    """The layers of a backbone on crossbars, in the order in which they run; the last one is the classifier.

    Args:
        name: Backbone, one of those in `BACKBONES`.
        input_shape: Channels, height and width of an image.

    Raises:
        ConfigError: If the backbone is unknown or does not take such images, or its family describes no network.
    """
    family = BACKBONES.find(name)
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ConfigError(f"input shape must be channels, height, width, got {input_shape}")
    return _laid_out(family, name, tuple(input_shape))


@cache
def _laid_out(family: Family, name: str, input_shape: tuple[int, int, int]) -> tuple[Position, ...]:
    """The positions of a backbone, once they are found to make a network."""
    positions = tuple(family.positions(name, input_shape))
    last = len(positions) - 1
    for index, position in enumerate(positions):
        where = f"backbone {name}: layer {index}, {position.name}"
        if not -1 <= position.source < index:
            raise ConfigError(f"{where}: source must be an earlier layer or -1, got {position.source}")
        if (position.decision < 0) != (index == last):
            raise ConfigError(f"{where}: the last layer, and no other, has decision -1, got {position.decision}")
        fed = positions[position.source].decision if position.source >= 0 else None
        if position.groups == DEPTHWISE and position.decision != fed:
            raise ConfigError(f"{where}: a depthwise layer must have the decision of its source, {fed}")
    decided = {position.decision for position in positions[:-1]}
    if not decided or decided != set(range(len(decided))):
        raise ConfigError(f"backbone {name}: channel decisions must be 0, 1, ..., got {sorted(decided)}")
    return positions


def space(
    name: str,
    choices: Options = (64, 128, 256, 512),
    input_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
    kernels: Sequence[int] | Sequence[Sequence[int]] = (),
) -> Space:
    """The search space of a backbone.

    Args:
        name: Backbone, one of those in `BACKBONES`.
        choices: Channel options, see `options_of`.
        input_shape: Channels, height and width of an image, such as the backbone takes.
        num_classes: Classes.
        kernels: Kernel options of the 3x3 convolutions: one list for all, in which 0 leaves out those that may be, or
            one list for each; by default 3 alone.

    Raises:
        ConfigError: If the backbone is unknown or an argument does not fit it.
    """
    positions = layer_positions(name, input_shape)
    return Space(
        name, options_of(name, positions, choices), input_shape, num_classes, _kernels(name, positions, kernels)
    )


Options = Sequence[int | float] | Sequence[Sequence[int | float]] | Mapping[str, Sequence[int | float]]
"""Channel options as they are given, see `options_of`."""

OTHERS = "others"
"""Key of the options of all decisions that are not named."""


def options_of(name: str, positions: Sequence[Position], choices: Options) -> tuple[tuple[int, ...], ...]:
    """The options of each channel decision, from what is given.

    A list is of channels, or of fractions of the original width where one of its numbers is no integer. 0 in a list for
    all leaves out the residual blocks that may be.

    Args:
        name: Of the backbone or network, for messages.
        positions: Its layers.
        choices: One list for all channel decisions, one list for each, or lists by the name of the first layer that
            takes a decision, with `OTHERS` for those that are not named.

    Raises:
        ConfigError: If there are too many or too few lists, a name is unknown, or a fraction is above 1.
    """
    optional = _optional_blocks(positions)
    firsts = {p.decision: p for p in reversed(positions) if p.decision >= 0}
    leaders = [firsts[decision] for decision in range(len(firsts))]
    if isinstance(choices, Mapping):
        names = [leader.name for leader in leaders]
        unknown = [key for key in choices if key not in names and key != OTHERS]
        if unknown:
            raise ConfigError(f"choices: {name} has no width {unknown[0]!r}; it has {', '.join(names)}")
        missing = [leader for leader in names if leader not in choices]
        if missing and OTHERS not in choices:
            raise ConfigError(f"choices: no options for {missing[0]}; give {OTHERS!r} for all that are not named")
        given = [(choices.get(leader, choices.get(OTHERS, ())), leader not in choices) for leader in names]
    else:
        shared = [option for option in choices if isinstance(option, int | float)]
        if shared and len(shared) < len(choices):
            raise ConfigError("channel options must be one list of numbers, or one such list for each decision")
        if shared or not choices:
            if LEFT_OUT in shared and not optional:
                raise ConfigError(f"channel options must be positive: {name} has no residual block to leave out (0)")
            given = [(shared, True)] * len(leaders)
        else:
            lists = [options for options in choices if not isinstance(options, int | float)]
            given = [(options, False) for options in lists]
            if len(given) != len(leaders):
                return tuple(tuple(int(option) for option in options) for options in lists)  # a `Space` complains
    return tuple(
        _resolved(leader, [option for option in options if option or not for_all or decision in optional])
        for decision, (leader, (options, for_all)) in enumerate(zip(leaders, given))
    )


def _resolved(leader: Position, options: Sequence[int | float]) -> tuple[int, ...]:
    """Options of one decision as channels; fractions of the original width rounded, each once."""
    if all(isinstance(option, int) for option in options):
        return tuple(int(option) for option in options)
    if not all(0 <= option <= 1 for option in options):
        raise ConfigError(f"choices of {leader.name}: fractions must be at most 1, got {', '.join(map(str, options))}")
    step = leader.traced.gives.step if leader.traced else 1
    found = [
        step * rounded_units(leader.width // step, option, single=step == 1) if option else LEFT_OUT
        for option in options
    ]
    return tuple(dict.fromkeys(found))


def _kernels(
    name: str, positions: Sequence[Position], kernels: Sequence[int] | Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], ...]:
    if not kernels:
        return ()
    free = [position for position in positions if position.kernel > 1]
    shared = [kernel for kernel in kernels if isinstance(kernel, int)]
    if len(shared) == len(kernels):
        if LEFT_OUT in shared and not any(position.optional for position in free):
            raise ConfigError(f"kernels: no layer of {name} can be left out (kernel 0)")
        found = [tuple(k for k in shared if k != LEFT_OUT or position.optional) for position in free]
    elif shared:
        raise ConfigError("kernels must be one list of numbers, or one such list for each 3x3 convolution")
    else:
        found = [tuple(options) for options in kernels if not isinstance(options, int)]
    if len(found) != len(free):
        raise ConfigError(f"{name} has {len(free)} 3x3 convolutions, got kernels for {len(found)}")
    given = iter(found)
    return tuple(next(given) if position.kernel > 1 else (position.kernel,) for position in positions)


__all__ = ["LEFT_OUT", "OTHERS", "Options", "Space", "layer_positions", "options_of", "space"]
