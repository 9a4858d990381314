"""What makes one design better than another: its network, its chip, and each decision on the periphery, as factors.

Factors depend on each other: fewer input bits save more where ADCs are slow. So each is weighed by what it changes on
average over all orders in which the first design can be turned into the second, its Shapley value. Of logarithms of
costs these values add up, so the shares multiply to the ratio of the two designs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design, Network, Periphery, decisions_taken
from xpert.errors import ConfigError
from xpert.hardware import PHYSICAL, Switches, evaluate

QUANTITIES = ("edap", "area", "latency", "energy")
"""What is shared out, by its name in an evaluation."""


@dataclass(frozen=True)
class Factor:
    """What one difference between two designs is worth: how many times lower each quantity is by it."""

    name: str
    """`network`, `chip`, or a field of `Periphery`."""

    shares: Mapping[str, float]
    """Shapley share of each of `QUANTITIES`; over all factors they multiply to the ratio of the designs."""

    alone: Mapping[str, float]
    """Ratio if it alone is changed in the first design."""

    last: Mapping[str, float]
    """Ratio if all others were changed before."""

    def to_dict(self) -> dict[str, Any]:
        """Name and shares, and the ratios of EDAP alone and last, as results hold them."""
        return {"name": self.name, **self.shares, "edap_alone": self.alone["edap"], "edap_last": self.last["edap"]}


def factors(before: Design, after: Design, switches: Switches = PHYSICAL) -> tuple[Factor, ...]:
    """The ratio of two designs, factor by factor.

    All 2**n mixtures of the two designs are evaluated, n being the number of factors: the network, every decision on
    the periphery, and the chip where the two have different ones. Layers go by their names. A layer that the other
    design lacks takes the periphery of the nearest layer before it that the other has; what comes before all of these,
    that of the first.

    Args:
        before: The design to begin with.
        after: The design to end with; where it is cheaper, shares are above 1.
        switches: Where the costs follow physics and where the reference simulator.

    Returns:
        Network, decisions in the order of the fields, chip.

    Raises:
        ConfigError: If a design has measured activity, which no mixture has; if the networks share no layer; or if a
            mixture is no chip: an ADC that one chip lacks, more columns to an ADC than it has.

    Source: Shapley, Contributions to the Theory of Games II (Annals of Mathematics Studies 28), 1953; used on
        logarithms.
    """
    if before.activity is not None or after.activity is not None:
        raise ConfigError("factors: designs must have no measured activity, for their mixtures have none")
    taken = decisions_taken([*before.periphery, *after.periphery])
    names = ["network", *taken, *(["chip"] if before.chip != after.chip else [])]
    logs = _logs(before, after, names, switches)  # [mixtures, quantities]; bit i of a number: factor i is after's
    everything = len(logs) - 1
    found = []
    for bit, name in enumerate(names):
        without = np.array([number for number in range(len(logs)) if not number >> bit & 1])
        gain = logs[without] - logs[without | 1 << bit]  # [mixtures without it, quantities]
        shares = (_weights(without, len(names))[:, None] * gain).sum(axis=0)
        alone, last = logs[0] - logs[1 << bit], logs[everything & ~(1 << bit)] - logs[everything]
        found.append(Factor(name, _named(shares), _named(alone), _named(last)))
    return tuple(found)


def _named(logs: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(QUANTITIES, np.exp(logs).tolist(), strict=True))


def _weights(without: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Share of all orders of so many factors in which just these come before another one, [mixtures]."""
    sizes = [int(number).bit_count() for number in without]
    return np.array([1 / (count * math.comb(count - 1, size)) for size in sizes])


def _logs(before: Design, after: Design, names: Sequence[str], switches: Switches) -> NDArray[np.float64]:
    """Logarithms of the quantities of all mixtures, [mixtures, quantities]."""
    rows = []
    for number in range(2 ** len(names)):
        taken = {name for bit, name in enumerate(names) if number >> bit & 1}
        found = evaluate(_mixture(before, after, taken), switches)
        rows.append([math.log(float(getattr(found, quantity))) for quantity in QUANTITIES])
    return np.array(rows)


def _mixture(before: Design, after: Design, taken: Set[str]) -> Design:
    """The first design with what is named from the second."""
    base, fields = (after if "network" in taken else before), [name for name in Periphery.decisions() if name in taken]
    old, new = _on(before, base.network), _on(after, base.network)
    periphery = tuple(a.with_values(fields, b.values(fields)) for a, b in zip(old, new, strict=True))
    return Design(chip=(after if "chip" in taken else before).chip, network=base.network, periphery=periphery)


def _on(design: Design, network: Network) -> list[Periphery]:
    """The periphery of a design for every layer of a network."""
    own = dict(zip((layer.name for layer in design.network.layers), design.periphery, strict=True))
    shared = [own[layer.name] for layer in network.layers if layer.name in own]
    if not shared:
        raise ConfigError("factors: the two networks have no layer of the same name, so none replaces another")
    found, latest = [], shared[0]
    for layer in network.layers:
        latest = own.get(layer.name, latest)
        found.append(latest)
    return found


__all__ = ["QUANTITIES", "Factor", "factors"]
