"""A module with other widths: the same code, with parameters of which channels are left out.

Which channels belong together is found by `xpert.workload.channels`. Where a forward's own numbers do not allow
another width, running the resized module says so, and the width stays.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xpert.design import Layer
from xpert.errors import ConfigError
from xpert.networks.family import rounded_units, units_at
from xpert.workload.channels import follow
from xpert.workload.trace import trace

_SIZES = ("dim", "channel", "feature", "width", "size", "planes", "chs", "hidden", "num_parameters")
"""Parts of the names of numbers in a module that are widths of its parameters."""

_INNER = ("attn", "inner", "all_head")
"""Parts of those names that mean the width of an attention's heads, where the one outside has the same size."""

_SEED = 0
_TRIALS = 3

Axis = tuple[str, int]
"""A parameter and one of its axes."""


@dataclass(frozen=True, eq=False)
class WidthGroup:
    """Units that can stand for one another: the channels of one width."""

    name: str
    """The first layer whose outputs they are."""

    units: NDArray[np.int64]
    """In the order of that layer's outputs."""

    channels: int
    """Output channels of that layer in each unit: above 1 for attention heads and groups of grouped layers."""

    axes: tuple[tuple[Axis, int], ...]
    """Where else they are: axes of parameters, and how many indices each unit has there."""

    def at(self, numerator: int, denominator: int) -> int:
        """How many units are kept at a fraction of the width, see `units_at`."""
        return units_at(len(self.units), numerator, denominator, single=self.channels == 1)


@dataclass(frozen=True, eq=False)
class Decision:
    """Groups whose widths are chosen together, as the same fraction of each one's own."""

    groups: tuple[WidthGroup, ...]
    """The first one is the one whose channels are counted."""

    @property
    def name(self) -> str:
        """Name of the layer whose output channels are counted."""
        return self.groups[0].name

    @property
    def width(self) -> int:
        """Channels of the network itself."""
        return len(self.groups[0].units) * self.groups[0].channels

    @property
    def step(self) -> int:
        """What a width is a multiple of."""
        return self.groups[0].channels

    def kept(self, width: int) -> dict[WidthGroup, int]:
        """How many units of each group are kept at a width; none at 0."""
        units = width // self.step
        return {group: group.at(units, len(self.groups[0].units)) if units else 0 for group in self.groups}

    def rounded(self, fraction: float) -> int:
        """The width nearest to a fraction of the network's own."""
        lead = self.groups[0]
        return lead.channels * rounded_units(len(lead.units), fraction, single=lead.channels == 1)


@dataclass(frozen=True)
class OptionalBlock:
    """A module that may be left out: its output is its input plus what its layers give."""

    path: str
    """The module."""
    decision: int
    """The decision that is 0 then; all widths within follow it."""


class Resizable:
    """A module whose widths can be chosen.

    Args:
        module: Any module; it is not changed. See `trace`.
        input_shape: Of one input without its batch axis.
        optional: Whether blocks may be left out; the widths within such a block are then one decision.

    Attributes:
        channels: What belongs together.
        decisions: Widths that can be chosen, in the order of their layers.
        kept: Widths that stay, by the name of their first layer: how many channels, and why.
        blocks: Blocks that may be left out.

    Raises:
        ConfigError: If the module cannot be traced.
    """

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...], optional: bool = False) -> None:
        self.module, self.input_shape = module, input_shape
        self.channels = follow(module, input_shape)
        self.kept: dict[str, tuple[int, str]] = {}
        groups = self._groups()
        blocks = self._inner(groups) if optional else {}
        decisions = self._tied(groups, [set(inner) for inner in blocks.values()])
        # Shapes need no numbers, unless the module looks at some.
        self._template, self._device = _without_numbers(module), torch.device("meta")
        if self._error((), ()) is not None:
            self._template, self._device = module, torch.device("cpu")
        self.decisions = self._verified(decisions)
        self.blocks = self._blocks(blocks)

    @property
    def widths(self) -> tuple[int, ...]:
        """The network's own widths."""
        return tuple(decision.width for decision in self.decisions)

    def layers_of(self, decision: Decision) -> list[str]:
        """Names of the layers whose outputs have the widths of a decision."""
        own = np.concatenate([group.units for group in decision.groups])
        pairs = zip(self.channels.layers, self.channels.units)
        return [layer.name for layer, units in pairs if bool(np.isin(units.outputs, own).any())]

    def resized(self, widths: Sequence[int], *, by_magnitude: bool = False) -> nn.Module:
        """The module with these widths; kept channels have the module's own weights.

        Args:
            widths: Of every decision, 0 where its block is left out.
            by_magnitude: Whether the channels with the largest weights are kept, rather than the first ones. The
                magnitude of a unit is the root mean square, over the layers that make it, of its weights relative to
                those of the layer.

        Raises:
            ConfigError: If there are too many or too few, or one cannot be.
        """
        self.check(widths)
        return self._resized(self.module, self.decisions, widths, by_magnitude)

    def layers_at(self, widths: Sequence[int]) -> tuple[Layer, ...]:
        """The layers of the module with these widths, see `trace`.

        Raises:
            ConfigError: See `resized` and `trace`.
        """
        self.check(widths)
        with self._device:
            return trace(self._resized(self._template, self.decisions, widths, by_magnitude=False), self.input_shape)

    def check(self, widths: Sequence[int]) -> None:
        """Complain about widths that cannot be.

        Raises:
            ConfigError: See `resized`.
        """
        if len(widths) != len(self.decisions):
            raise ConfigError(f"the network has {len(self.decisions)} widths to choose, got {len(widths)}")
        optional = {block.decision for block in self.blocks}
        for index, (decision, width) in enumerate(zip(self.decisions, widths)):
            if (width == 0 and index not in optional) or not 0 <= width <= decision.width or width % decision.step:
                whole = f", a multiple of {decision.step}" if decision.step > 1 else ""
                left_out = " or 0" if index in optional else ""
                raise ConfigError(
                    f"channels of {decision.name} must be 1 ... {decision.width}{whole}{left_out}, got {width}"
                )

    # Finding decisions

    def _groups(self) -> list[WidthGroup]:
        """Groups of the layers' outputs; those that cannot be resized go to `kept`."""
        found = self.channels
        places: dict[int, dict[Axis, int]] = defaultdict(lambda: defaultdict(int))
        for name, axes in found.parameters.items():
            for axis, units in enumerate(axes):
                if units is not None:
                    for unit in units[units > 0].tolist():
                        places[unit][name, axis] += 1
        groups: list[WidthGroup] = []
        seen: set[int] = set()
        for layer, own in zip(found.layers, found.units):
            alike: dict[tuple[tuple[Axis, int], ...], list[int]] = {}
            counts: dict[int, int] = defaultdict(int)
            for unit in own.outputs.tolist():
                counts[unit] += 1
                if unit and unit not in seen:
                    seen.add(unit)
                    alike.setdefault(tuple(sorted(places[unit].items())), []).append(unit)
            for axes, units in alike.items():
                reason = next((found.fixed[unit] for unit in units if unit in found.fixed), None)
                if reason is None and len(units) == 1:
                    reason = "it cannot be divided"
                if reason is None and len({counts[unit] for unit in units}) > 1:
                    reason = "its channels are not alike"
                group = WidthGroup(layer.name, np.array(units), counts[units[0]], axes)
                if reason is None:
                    groups.append(group)
                else:
                    self._keep(group, reason)
            if not own.outputs.any():
                self.kept.setdefault(layer.name, (layer.out_channels, "its outputs cannot be followed"))
        return groups

    def _keep(self, group: WidthGroup, reason: str) -> None:
        width = len(group.units) * group.channels
        before, why = self.kept.get(group.name, (0, reason))
        self.kept[group.name] = before + width, why

    def _tied(self, groups: Sequence[WidthGroup], together: Iterable[Collection[int]]) -> list[Decision]:
        """Decisions: groups that meet at a layer's inputs or outputs, or are within one block, are one."""
        place = {int(unit): index for index, group in enumerate(groups) for unit in group.units}
        leader = list(range(len(groups)))

        def find(index: int) -> int:
            while leader[index] != index:
                index = leader[index]
            return index

        meeting = [
            {place[unit] for unit in np.unique(ends).tolist() if unit in place}
            for own in self.channels.units
            for ends in (own.inputs, own.outputs)
        ]
        for indices in [*meeting, *together]:
            first, *others = sorted({find(index) for index in indices}) or [-1]
            for other in others:
                leader[other] = first
        members: dict[int, list[WidthGroup]] = defaultdict(list)
        for index, group in enumerate(groups):
            members[find(index)].append(group)
        return [_decision(found) for found in members.values()]

    def _inner(self, groups: Sequence[WidthGroup]) -> dict[str, list[int]]:
        """For every block that may be left out the groups that are nowhere but in it."""
        found: dict[str, list[int]] = {}
        for path in self.channels.blocks:
            inside = f"{path}."
            inner = [
                index
                for index, group in enumerate(groups)
                if all(name.startswith(inside) for (name, _), _ in group.axes)
            ]
            own = {int(unit) for index in inner for unit in groups[index].units}
            layers = [
                units
                for layer, units in zip(self.channels.layers, self.channels.units)
                if layer.name.startswith(inside)
            ]
            # Every layer of it must be gone with these widths, and none may hold a width that stays.
            if inner and all(own & {*units.inputs.tolist(), *units.outputs.tolist()} for units in layers):
                found[path] = inner
        return found

    def _blocks(self, blocks: Mapping[str, list[int]]) -> tuple[OptionalBlock, ...]:
        made = []
        for path in blocks:
            inside = f"{path}."
            inner = [
                index
                for index, decision in enumerate(self.decisions)
                if all(name.startswith(inside) for group in decision.groups for (name, _), _ in group.axes)
            ]
            if len(inner) == 1 and not any(path.startswith(f"{other.path}.") for other in made):
                made.append(OptionalBlock(path, inner[0]))
        return tuple(made)

    # Verifying them

    def _verified(self, decisions: list[Decision]) -> tuple[Decision, ...]:
        """Decisions with which the module runs; others are tied to each other, or go to `kept`."""
        if self._all_run(decisions):
            return tuple(decisions)
        good: list[Decision] = []
        failing: list[tuple[Decision, str]] = []
        for decision in decisions:
            error = self._error([decision], [_narrow(decision)])
            (good.append(decision) if error is None else failing.append((decision, error)))
        for cluster in _of_one_size([decision for decision, _ in failing]):
            tied = _decision([group for decision in cluster for group in decision.groups])
            error = self._error([tied], [_narrow(tied)]) if len(cluster) > 1 else ""
            if error is None:
                good.append(tied)
                continue
            for decision, why in failing:
                if decision in cluster:
                    for group in decision.groups:
                        self._keep(group, f"the module does not run with another width: {why}")
        good.sort(key=self._first)
        if self._all_run(good):
            return tuple(good)
        accepted: list[Decision] = []
        for decision in good:
            if self._all_run([*accepted, decision]):
                accepted.append(decision)
                continue
            for group in decision.groups:
                self._keep(group, "the module does not run with another width beside those of other layers")
        return tuple(accepted)

    def _first(self, decision: Decision) -> int:
        """The first layer whose width a decision is."""
        names = {group.name for group in decision.groups}
        return next(index for index, layer in enumerate(self.channels.layers) if layer.name in names)

    def _all_run(self, decisions: Sequence[Decision]) -> bool:
        """Whether the module runs at the narrowest widths and at some drawn ones."""
        generator = np.random.default_rng(_SEED)
        trials = [[_narrow(decision) for decision in decisions]]
        trials += [
            [decision.rounded(generator.uniform(0.2, 1.0)) for decision in decisions] for _ in range(_TRIALS - 1)
        ]
        return all(self._error(decisions, widths) is None for widths in trials)

    def _error(self, decisions: Sequence[Decision], widths: Sequence[int]) -> str | None:
        """Why the module does not run with these widths, or None."""
        try:
            with torch.no_grad(), self._device:
                image = torch.zeros(1, *self.input_shape)
                resized = self._resized(self._template, decisions, widths, by_magnitude=False).eval()
                resized(image)
        except Exception as error:  # noqa: BLE001 - whatever a module of the user's own raises
            return " ".join(str(error).split())[:160]
        return None

    # Making modules

    def _resized(
        self, module: nn.Module, decisions: Sequence[Decision], widths: Sequence[int], by_magnitude: bool
    ) -> nn.Module:
        left_out = {block.path for block in getattr(self, "blocks", ()) if not widths[block.decision]}
        dropped: set[int] = set()
        counts: dict[int, tuple[int, int]] = {}  # of a unit: how many its group has, and had
        for decision, width in zip(decisions, widths):
            for group, count in decision.kept(width).items():
                order = np.argsort(-self._magnitudes(group), kind="stable") if by_magnitude else range(len(group.units))
                dropped.update(group.units[list(order)[count:]].tolist())
                counts |= dict.fromkeys(group.units.tolist(), (count, len(group.units)))
        made = copy.deepcopy(module)
        for path in left_out:
            parent, _, name = path.rpartition(".")
            made.get_submodule(parent)._modules[name] = nn.Identity()
        if not dropped:
            return made
        gone = np.array(sorted(dropped))
        new: dict[int, Tensor] = {}
        sizes: dict[str, _Sizes] = defaultdict(lambda: defaultdict(set))
        for name, axes in self.channels.parameters.items():
            owner, _, attribute = name.rpartition(".")
            if any(f"{name}.".startswith(f"{path}.") for path in left_out):
                continue
            part = made.get_submodule(owner)
            tensor = getattr(part, attribute)
            if id(tensor) in new:
                setattr(part, attribute, new[id(tensor)])
                continue
            kept = tensor.detach()
            for axis, units in enumerate(axes):
                if units is None:
                    continue
                index = np.flatnonzero(~np.isin(units, gone))
                if len(index) < len(units):
                    kept = kept.index_select(axis, torch.from_numpy(index).to(kept.device))
                sizes[owner][len(units)].add((len(index), bool(np.isin(units, self._coarse).any())))
            if kept.shape == tensor.shape:
                continue
            result = nn.Parameter(kept.clone(), tensor.requires_grad) if isinstance(tensor, nn.Parameter) else kept
            new[id(tensor)] = result
            setattr(part, attribute, result)
        heads: dict[str, _Sizes] = defaultdict(lambda: defaultdict(set))
        for decision, width in zip(decisions, widths):
            for group, count in decision.kept(width).items():
                for (name, _), per_unit in group.axes:
                    if per_unit > 1 or group.channels > 1:
                        heads[name.rpartition(".")[0]][len(group.units)].add((count, True))
        _set_numbers(made, sizes, heads)
        return made

    @cached_property
    def _coarse(self) -> NDArray[np.int64]:
        """Units of more than one channel."""
        counts: dict[int, int] = defaultdict(int)
        for own in self.channels.units:
            units, found = np.unique(own.outputs, return_counts=True)
            for unit, count in zip(units.tolist(), found.tolist()):
                counts[unit] = max(counts[unit], count)
        return np.array([unit for unit, count in counts.items() if unit and count > 1], dtype=np.int64)

    @cached_property
    def _norms(self) -> dict[int, float]:
        """For every unit the mean square of the weights that make it, over those of their layers."""
        total: dict[int, float] = defaultdict(float)
        parameters = dict(self.module.named_parameters())
        outputs = {unit for own in self.channels.units for unit in own.outputs.tolist()}
        for name, axes in self.channels.parameters.items():
            weight = parameters.get(name)
            # The axis of a layer's outputs; its inputs are another layer's.
            if weight is None or weight.dim() < 2 or axes[0] is None:
                continue
            squares = weight.detach().float().transpose(0, 0).flatten(1).square().mean(1)
            squares = (squares / squares.mean().clamp_min(torch.finfo(squares.dtype).tiny)).tolist()
            for unit, square in zip(axes[0].tolist(), squares):
                if unit in outputs:
                    total[unit] += square
        return dict(total)

    def _magnitudes(self, group: WidthGroup) -> NDArray[np.float64]:
        return np.array([self._norms.get(int(unit), 0.0) for unit in group.units])


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy whose tensors have shapes alone."""
    memo: dict[int, object] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers, vars(part)):
            for value in tensors.values():
                if isinstance(value, nn.Parameter):
                    memo[id(value)] = nn.Parameter(value.detach().to("meta"), value.requires_grad)
                elif isinstance(value, Tensor):
                    memo[id(value)] = value.detach().to("meta")
    return copy.deepcopy(module, memo)


def _decision(groups: Sequence[WidthGroup]) -> Decision:
    """One decision of groups: counted in the coarsest where one of them has whole heads, else in the first."""
    lead = min(groups, key=lambda group: len(group.units)) if any(group.channels > 1 for group in groups) else groups[0]
    return Decision((lead, *(group for group in groups if group is not lead)))


def _narrow(decision: Decision) -> int:
    """The smallest width above 0, but two units at least where there are more than two."""
    return min(decision.width, max(decision.rounded(0.25), decision.step))


def _of_one_size(decisions: Sequence[Decision]) -> list[list[Decision]]:
    """Decisions in clusters that have an axis of the same size."""
    sizes = [
        {len(group.units) * count for group in decision.groups for _, count in group.axes} for decision in decisions
    ]
    clusters: list[tuple[set[int], list[Decision]]] = []
    for decision, own in zip(decisions, sizes):
        meeting = [cluster for cluster in clusters if cluster[0] & own]
        clusters = [cluster for cluster in clusters if not cluster[0] & own]
        merged = own.union(*(cluster[0] for cluster in meeting))
        clusters.append((merged, [*(d for cluster in meeting for d in cluster[1]), decision]))
    return [members for _, members in clusters]


_Sizes = dict[int, set[tuple[int, bool]]]
"""For sizes of axes their new ones, and whether these are of whole heads."""


def _set_numbers(module: nn.Module, sizes: Mapping[str, _Sizes], heads: Mapping[str, _Sizes]) -> None:
    """Bring the numbers in modules that are widths of their parameters to the new ones."""
    for path, part in module.named_modules():
        if isinstance(part, nn.modules.conv._ConvNd):
            transposed = isinstance(part, nn.modules.conv._ConvTransposeNd)
            outputs = part.weight.shape[1 if transposed else 0]
            if part.groups > 1:
                part.groups = part.groups * outputs // part.out_channels
            part.out_channels = outputs
            part.in_channels = part.weight.shape[0] if transposed else part.weight.shape[1] * part.groups
            continue
        if isinstance(part, nn.GroupNorm) and part.weight is not None and part.num_groups > 1:
            part.num_groups = part.num_groups * len(part.weight) // part.num_channels
        own = _under(sizes, path)
        counts = _under(heads, path)
        for name, value in list(vars(part).items()):
            changed = _number(name, value, own, counts)
            if changed is not None:
                setattr(part, name, changed)


def _under(found: Mapping[str, _Sizes], path: str) -> _Sizes:
    """What was found in a module: in itself, or else in the modules within."""
    merged: _Sizes = defaultdict(set)
    inside = f"{path}." if path else ""
    for owner in [path] if path in found else [name for name in found if name.startswith(inside)]:
        for before, after in found[owner].items():
            merged[before] |= after
    return merged


def _number(name: str, value: object, sizes: _Sizes, heads: _Sizes) -> object | None:
    """The new value of a number in a module; None where it stays."""
    if name == "normalized_shape" and isinstance(value, tuple) and len(value) == 1:
        after = _one(sizes, value[0], of_heads=False)
        return None if after is None else (after,)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    lower = name.lower()
    if "head" in lower and "dim" not in lower and "size" not in lower:
        return _one(heads, value, of_heads=True)
    if any(part in lower for part in _SIZES):
        return _one(sizes, value, of_heads=any(part in lower for part in _INNER))
    return None


def _one(sizes: _Sizes, value: int, *, of_heads: bool) -> int | None:
    """The only new size of an axis; where there are several, that of heads or of all others."""
    found = sizes.get(value, set())
    after = {size for size, heads in found if heads == of_heads} or {size for size, _ in found}
    return next(iter(after)) if len(after) == 1 else None


__all__ = ["Decision", "OptionalBlock", "Resizable", "WidthGroup"]
