"""The search problem: per-layer cost tables, an objective and budgets, priced for a million designs at once.

A design decides two things in every layer: a *width* (its output channels) and an *option* (its periphery, or
whatever else the tables offer: kernel size, block type, precision). A layer's cost depends on its own two decisions
and on the width that feeds it, so a design's figure is a sum of table entries, one per layer:

    S_q = constants[q] + sum over layers l of costs[q][l][width of l's input, width of l, option of l]          (1)

The objective is one such sum, or a product of several (EDAP: energy x latency x area). Budgets bound sums from above
(`at_most`) or below (`at_least`). A quantity may be *coupled* to two others: what counts is then S_q + S_a (S_b - c)
with a number c, as the energy of a chip whose leakage power is a sum and whose latency is, too.

By default the layers form a chain. `inputs` and `ties` describe other graphs: a residual network's block ends share
one width decision (`ties`), and its shortcut reads the block's input (`inputs`). An infinite entry forbids a
combination.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from xpert.design import DataModel, read_mapping
from xpert.errors import ConfigError
from xpert.files import write_atomically

Label = int | float | str
"""What a width or an option is called in files and results."""

ROUNDING = 1e-12
"""Relative slack of a budget, for the rounding of sums only: 0.1 + 0.2 meets a budget of 0.3."""

LARGEST = 1e60
"""Largest cost or budget: sums and products of a few sums stay finite."""

_CHUNK = 1 << 14
"""Designs priced in one go: the gathered rows stay in the cache."""


@dataclass(frozen=True)
class Choices:
    """What one layer may choose from."""

    name: str
    widths: tuple[Label, ...]
    options: tuple[Label, ...]


@dataclass(frozen=True, eq=False)
class Problem:
    """A search problem over tabulated costs. See the module's text for the formulation.

    Attributes:
        layers: The choices of every layer.
        costs: For every quantity one array [in_widths, out_widths, options] per layer. `in_widths` is 1 for a layer
            that reads the network's input. Units are the caller's.
        minimize: The quantities whose sums are multiplied; one name for a plain sum, a repeated name for a power.
        at_most: Upper budgets on sums.
        at_least: Lower budgets on sums.
        constants: What a sum starts from, for costs that no layer owns. [unit of the quantity]
        coupled: For some quantities two others a, b and a number c: S_a (S_b - c) is added to their sum. No design may
            have S_a below 0 or S_b below c, so that the sum alone is a lower bound, and a design that is better in q, a
            and b is better.
        inputs: For every layer the index of the earlier layer that feeds it, -1 for the network's input; by default
            the chain -1, 0, 1, ...
        ties: For every layer the index of the layer whose width decision it shares; by default its own.
        units: Names of units, for messages.
        name: For messages and results.

    Raises:
        ConfigError: If shapes do not fit, a quantity is unknown, a number is NaN, or a factor of a product can be <=
            0.
    """

    layers: tuple[Choices, ...]
    costs: Mapping[str, tuple[NDArray[np.float64], ...]]
    minimize: tuple[str, ...]
    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    coupled: Mapping[str, tuple[str, str, float]] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    ties: tuple[int, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    name: str = "problem"

    def __post_init__(self) -> None:
        """Normalise and check."""
        count = len(self.layers)
        if not count:
            raise ConfigError(f"{self.name}: layers: a problem has at least one layer")
        minimize = (self.minimize,) if isinstance(self.minimize, str) else tuple(self.minimize)
        inputs = tuple(self.inputs) or tuple(range(-1, count - 1))
        ties = tuple(self.ties) or tuple(range(count))
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "minimize", minimize)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "ties", ties)
        self._check_graph()
        object.__setattr__(self, "costs", self._checked_costs())
        self._check_quantities()
        self._forbid()

    def _fail(self, where: str, what: str) -> ConfigError:
        return ConfigError(f"{self.name}: {where}: {what}")

    def _check_graph(self) -> None:
        for index, layer in enumerate(self.layers):
            where = f"layers[{index}]"
            for key in ("widths", "options"):
                if not getattr(layer, key):
                    raise self._fail(f"{where}.{key}", "must name at least one choice")
        for key in ("inputs", "ties"):
            if len(getattr(self, key)) != len(self.layers):
                raise self._fail(key, f"must have one entry for each of the {len(self.layers)} layers")
        for index, (source, tie) in enumerate(zip(self.inputs, self.ties)):
            if not -1 <= source < index:
                raise self._fail(f"layers[{index}].input", "must be an earlier layer, or the network's input")
            if not 0 <= tie <= index or self.ties[tie] != tie:
                raise self._fail(f"layers[{index}].tied_to", "must be an earlier layer that is not tied itself")
            if self.layers[tie].widths != self.layers[index].widths:
                raise self._fail(
                    f"layers[{index}].widths", f"must be those of {self.layers[tie].name}, which it is tied to"
                )

    def _checked_costs(self) -> dict[str, tuple[NDArray[np.float64], ...]]:
        checked = {}
        for quantity, tables in self.costs.items():
            where = f"costs.{quantity}"
            if len(tables) != len(self.layers):
                raise self._fail(
                    where, f"must have one table for each of the {len(self.layers)} layers, not {len(tables)}"
                )
            arrays = []
            for index, table in enumerate(tables):
                try:
                    array = np.array(table, dtype=np.float64)
                except (ValueError, TypeError, OverflowError):
                    raise self._fail(
                        f"{where}[{index}]", "must be numbers in a regular table [in][out][option]"
                    ) from None
                if array.shape != self.shape(index):
                    raise self._fail(
                        f"{where}[{index}]",
                        f"must have the shape {list(self.shape(index))} [in_widths, out_widths, options],"
                        f" not {list(array.shape)}",
                    )
                wrong = np.argwhere(~((np.abs(array) <= LARGEST) | (array == np.inf)))
                if len(wrong):
                    raise self._fail(
                        f"{where}[{index}]{wrong[0].tolist()}",
                        f"must be a number up to {LARGEST:g} (infinity forbids a combination)",
                    )
                arrays.append(array)
            checked[quantity] = tuple(arrays)
        return checked

    def _check_quantities(self) -> None:
        known = ", ".join(self.costs) or "none"
        if not self.minimize:
            raise self._fail("minimize", f"must name at least one quantity (known: {known})")
        named = [("minimize", name) for name in self.minimize]
        named += [(key, name) for key in ("at_most", "at_least", "constants", "units") for name in getattr(self, key)]
        named += [("coupled", name) for key, (one, other, _) in self.coupled.items() for name in (key, one, other)]
        for key, name in named:
            if name not in self.costs:
                raise self._fail(key, f"unknown quantity {name!r} (known: {known})")
        for key in ("at_most", "at_least", "constants"):
            for name, value in getattr(self, key).items():
                if not abs(value) <= LARGEST:
                    raise self._fail(f"{key}.{name}", f"must be a number up to {LARGEST:g} (got {value})")
        for name in self.coupled.keys() & self.at_least.keys():
            raise self._fail(f"at_least.{name}", "a quantity that is coupled to others has no lower budget")
        for name in self.at_most.keys() & self.at_least.keys():
            if self.at_least[name] > self.at_most[name]:
                raise self._fail(
                    f"at_least.{name}", f"{self.at_least[name]:g} is above at_most.{name}, {self.at_most[name]:g}"
                )

    def _forbid(self) -> None:
        """What one quantity forbids is forbidden in all, so that any sum tells."""
        for index in range(len(self.layers)):
            tables = [arrays[index] for arrays in self.costs.values()]
            forbidden = np.any([np.isinf(table) for table in tables], axis=0)
            for table in tables:
                table[forbidden] = np.inf
                table.flags.writeable = False

    def shape(self, layer: int) -> tuple[int, int, int]:
        """The shape [in_widths, out_widths, options] of a layer's tables."""
        source = self.inputs[layer]
        in_widths = 1 if source < 0 else len(self.layers[source].widths)
        return in_widths, len(self.layers[layer].widths), len(self.layers[layer].options)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all tabulated quantities."""
        return tuple(self.costs)

    @cached_property
    def active(self) -> tuple[str, ...]:
        """The quantities that the objective and the budgets name, and what these are coupled to, each once."""
        named = dict.fromkeys([*self.minimize, *self.at_most, *self.at_least])
        sources = [source for name in named for source in self.coupled.get(name, ())[:2]]
        return tuple(dict.fromkeys([*named, *sources]))

    @property
    def size(self) -> int:
        """Number of different designs, forbidden ones included."""
        free = (len(layer.widths) for index, layer in enumerate(self.layers) if self.ties[index] == index)
        return math.prod(free) * math.prod(len(layer.options) for layer in self.layers)

    @cached_property
    def _rows(self) -> tuple[NDArray[np.float64], ...]:
        """Per layer the active quantities side by side, [in_widths * out_widths * options, active]."""
        return self._stacked(self.active)

    def _stacked(self, names: Sequence[str]) -> tuple[NDArray[np.float64], ...]:
        # [in_widths, out_widths, options] each -> [in_widths * out_widths * options, names]: one row per entry.
        return tuple(
            np.stack([self.costs[name][index].ravel() for name in names], axis=-1) for index in range(len(self.layers))
        )

    def _sums(
        self, designs: ArrayLike, names: Sequence[str], rows: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Equation (1) for designs [*batch, layers, 2] from the rows of `_stacked`, [*batch, names]."""
        designs = np.asarray(designs)
        if designs.shape[-2:] != (len(self.layers), 2) or not np.issubdtype(designs.dtype, np.integer):
            raise ValueError(
                f"designs must be integers [*batch, {len(self.layers)}, 2], not {designs.dtype} {designs.shape}"
            )
        flat = designs.reshape(-1, len(self.layers), 2)  # the batch becomes one axis: [n, layers, 2]
        sums = np.empty((len(flat), len(names)))
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK]
            # Every design starts from the constants, [chunk, names]; then one layer after the other is added.
            total = np.tile([float(self.constants.get(name, 0.0)) for name in names], (len(part), 1))
            for index, table in enumerate(rows):
                _, widths, options = self.shape(index)
                width, option = part[:, self.ties[index], 0], part[:, index, 1]  # [chunk] each
                if len(part) and (width.min() < 0 or width.max() >= widths):
                    raise IndexError(f"{self.name}: layer {index}: a width index is outside 0..{widths - 1}")
                if len(part) and (option.min() < 0 or option.max() >= options):
                    raise IndexError(f"{self.name}: layer {index}: an option index is outside 0..{options - 1}")
                # Place of (input width, width, option) in the table's rows, as C order numbers them, [chunk].
                entry = width * options + option
                source = self.inputs[index]
                if source >= 0:
                    entry = entry + part[:, self.ties[source], 0] * (widths * options)
                total += table.take(entry, axis=0)  # [rows, names] -> [chunk, names]
            sums[start : start + _CHUNK] = total
        return sums.reshape(*designs.shape[:-2], len(names))

    def table(self, layer: int) -> NDArray[np.float64]:
        """A layer's costs in the active quantities, [in_widths, out_widths, options, active]."""
        return self._rows[layer].reshape(*self.shape(layer), -1)

    def totals(self, designs: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """The sums of all quantities.

        Args:
            designs: Width and option indices, integers [*batch, layers, 2]. A tied layer's width index is not read:
                the layer that it is tied to decides.

        Returns:
            For every quantity an array [*batch], constants included; infinite where a combination is forbidden.
        """
        sums = self._sums(designs, self.quantities, self._stacked(self.quantities))  # [*batch, quantities]
        return {name: self._figure(sums, self.quantities, name) for name in self.quantities}

    def _figure(self, sums: NDArray[np.float64], names: Sequence[str], name: str) -> NDArray[np.float64]:
        """A quantity [*batch] from the sums [*batch, names], with what it is coupled to."""
        total = sums[..., names.index(name)]
        if name in self.coupled:
            one, other, offset = self.coupled[name]
            with np.errstate(invalid="ignore"):  # infinite where a combination is forbidden
                total = total + sums[..., names.index(one)] * (sums[..., names.index(other)] - offset)
        return total

    def active_totals(self, designs: ArrayLike) -> NDArray[np.float64]:
        """The sums of the active quantities, [*batch, active]: what `objective` and `violation` take."""
        return self._sums(designs, self.active, self._rows)

    def objective(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """The objective [*batch] of sums [*batch, active]."""
        result = self._figure(totals, self.active, self.minimize[0])
        for name in self.minimize[1:]:
            result = result * self._figure(totals, self.active, name)
        return result

    def violation(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much sums [*batch, active] break the budgets: the excesses relative to the bounds, added up. [1]

        Zero exactly where a design is feasible, infinite where it is forbidden.
        """
        result = np.zeros(totals.shape[:-1])
        for sign, bounds in ((1.0, self.at_most), (-1.0, self.at_least)):
            for name, bound in bounds.items():
                # The axis of quantities vanishes: [*batch, active] -> [*batch].
                excess = sign * (self._figure(totals, self.active, name) - bound) / (abs(bound) or 1.0)
                result += np.where(excess > ROUNDING, excess, 0.0)
        result[~np.isfinite(totals).all(axis=-1)] = np.inf
        return result

    def value(self, designs: ArrayLike) -> NDArray[np.float64]:
        """The objective [*batch] of designs [*batch, layers, 2], whether they meet the budgets or not."""
        return self.objective(self.active_totals(designs))

    def feasible(self, designs: ArrayLike) -> NDArray[np.bool_]:
        """Which of the designs [*batch, layers, 2] meet all budgets and hold no forbidden combination."""
        return self.violation(self.active_totals(designs)) == 0.0

    def random_designs(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Independent uniform choices, [count, layers, 2]."""
        bounds = [(len(layer.widths), len(layer.options)) for layer in self.layers]
        return self.tied(generator.integers(0, np.array(bounds), size=(count, len(bounds), 2)))

    def tied(self, designs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same designs with every tied layer's width index set to its leader's."""
        designs = designs.copy()
        designs[..., 0] = designs[..., self.ties, 0]
        return designs

    def describe(self, design: ArrayLike) -> list[dict[str, Label]]:
        """One design [layers, 2] in the problem's own names: `[{"width": ..., "option": ...}, ...]`."""
        indices = self.tied(np.asarray(design, dtype=np.int64))
        return [
            {"width": layer.widths[width], "option": layer.options[option]}
            for layer, (width, option) in zip(self.layers, indices)
        ]

    def design_of(self, described: Any, where: str = "design") -> NDArray[np.int64]:
        """The design [layers, 2] that `describe` described.

        Args:
            described: One mapping with `width` and `option` for each layer.
            where: Where it came from, for messages.

        Raises:
            ConfigError: If it is no such list, or names a choice that the problem does not have.
        """
        if not isinstance(described, Sequence) or len(described) != len(self.layers):
            raise ConfigError(f"{where}: must be a list with one choice for each of the {len(self.layers)} layers")
        design = np.zeros((len(self.layers), 2), dtype=np.int64)
        for index, (layer, choice) in enumerate(zip(self.layers, described)):
            for column, (key, known) in enumerate((("width", layer.widths), ("option", layer.options))):
                given = choice.get(key) if isinstance(choice, Mapping) else None
                if given not in known:
                    names = ", ".join(map(str, known))
                    raise ConfigError(f"{where}[{index}].{key}: {layer.name} has {names} (got {given!r})")
                design[index, column] = known.index(given)
        return design

    def quantity_text(self, name: str, value: float) -> str:
        """A figure with its unit, for messages."""
        return f"{value:.6g} {self.units[name]}" if name in self.units else f"{value:.6g}"


class _LayerFile(DataModel):
    name: str
    widths: list[Label]
    options: list[Label]
    input: str | None = ""  # "" stands for the layer before
    tied_to: str | None = None


class _ProblemFile(DataModel):
    """The JSON format: what `problems/README` of the reference describes, plus graphs, constants and units."""

    name: str = "problem"
    minimize: str | list[str]
    at_most: dict[str, float] = Field(default_factory=dict)
    at_least: dict[str, float] = Field(default_factory=dict)
    constants: dict[str, float] = Field(default_factory=dict)
    coupled: dict[str, tuple[str, str, float]] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict)
    layers: list[_LayerFile]
    costs: dict[str, Any]
    optimum: dict[str, Any] | None = None


def problem_from_dict(data: Mapping[str, Any], where: str = "") -> Problem:
    """Build a problem from what a JSON reader returned.

    Args:
        data: The keys of the file format. `null` inside a cost table forbids that combination.
        where: The file that it came from, for messages.

    Raises:
        ConfigError: One line naming the wrong field and what is allowed.
    """
    parsed = _ProblemFile.parse(data, where)
    index = {layer.name: position for position, layer in enumerate(parsed.layers)}
    name = where or parsed.name
    if len(index) < len(parsed.layers):
        raise ConfigError(f"{name}: layers: two layers have the same name")

    def position(layer: int, key: str, other: str) -> int:
        if other not in index:
            raise ConfigError(f"{name}: layers[{layer}].{key}: no layer is called {other!r}")
        return index[other]

    inputs, ties = [], []
    for number, layer in enumerate(parsed.layers):
        if layer.input == "":
            inputs.append(number - 1)
        else:
            inputs.append(-1 if layer.input is None else position(number, "input", layer.input))
        ties.append(number if layer.tied_to is None else position(number, "tied_to", layer.tied_to))
    costs = {}
    for quantity, tables in parsed.costs.items():
        if not isinstance(tables, list):
            raise ConfigError(f"{name}: costs.{quantity}: must be a list with one table per layer")
        costs[quantity] = [_read_table(table, f"{name}: costs.{quantity}[{i}]") for i, table in enumerate(tables)]
    return Problem(
        layers=tuple(Choices(layer.name, tuple(layer.widths), tuple(layer.options)) for layer in parsed.layers),
        costs=costs,
        minimize=(parsed.minimize,) if isinstance(parsed.minimize, str) else tuple(parsed.minimize),
        at_most=parsed.at_most,
        at_least=parsed.at_least,
        constants=parsed.constants,
        coupled=parsed.coupled,
        inputs=tuple(inputs),
        ties=tuple(ties),
        units=parsed.units,
        name=name,
    )


def _read_table(table: Any, where: str) -> NDArray[np.float64]:
    """A nested list of numbers and nulls as an array; strings and truth values are not numbers."""
    try:
        raw = np.array(table, dtype=object)
    except ValueError:
        raise ConfigError(f"{where}: must be a regular table [in][out][option]") from None
    for place, entry in np.ndenumerate(raw):
        if entry is None:
            raw[place] = math.inf
        elif isinstance(entry, bool) or not isinstance(entry, int | float) or not -LARGEST <= entry <= LARGEST:
            shown = repr(entry)
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            raise ConfigError(
                f"{where}{list(place)}: must be a number up to {LARGEST:g}, or null to forbid it (got {shown})"
            )
    return raw.astype(np.float64)


def load_problem(path: Path | str) -> Problem:
    """Read a problem from a JSON file.

    Raises:
        ConfigError: If the file is missing, is not JSON, or holds something that is not allowed.
    """
    return problem_from_dict(read_mapping(path, "problem file"), str(path))


def problem_to_dict(problem: Problem) -> dict[str, Any]:
    """The JSON form of a problem; `problem_from_dict` gives the problem back."""
    names = [layer.name for layer in problem.layers]
    layers = []
    for index, layer in enumerate(problem.layers):
        entry: dict[str, Any] = {"name": layer.name, "widths": list(layer.widths), "options": list(layer.options)}
        source, tie = problem.inputs[index], problem.ties[index]
        if source != index - 1:
            entry["input"] = None if source < 0 else names[source]
        if tie != index:
            entry["tied_to"] = names[tie]
        layers.append(entry)

    def plain(table: NDArray[np.float64]) -> list[Any]:
        entries = table.astype(object)
        entries[np.isinf(table)] = None
        return entries.tolist()

    result: dict[str, Any] = {
        "name": problem.name,
        "minimize": problem.minimize[0] if len(problem.minimize) == 1 else list(problem.minimize),
        "at_most": dict(problem.at_most),
        "at_least": dict(problem.at_least),
    }
    result |= {key: dict(getattr(problem, key)) for key in ("constants", "coupled", "units") if getattr(problem, key)}
    return result | {
        "layers": layers,
        "costs": {name: [plain(table) for table in tables] for name, tables in problem.costs.items()},
    }


def save_problem(problem: Problem, path: Path | str) -> None:
    """Write a problem as JSON.

    Raises:
        RunError: If the file cannot be written.
    """
    write_atomically(path, json.dumps(problem_to_dict(problem), allow_nan=False) + "\n")


__all__ = [
    "ROUNDING",
    "Choices",
    "Label",
    "Problem",
    "load_problem",
    "problem_from_dict",
    "problem_to_dict",
    "save_problem",
]
