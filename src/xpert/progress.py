"""How work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

Tell = Callable[[dict[str, Any]], None]
"""What work calls with figures as it goes on. `stage` names what is under way; some figures count, see `COUNTS`."""

COUNTS = {
    "epoch": "epochs",
    "step": "steps",
    "layer": "layers",
    "image": "images",
    "images": "of",
    "measurement": "measurements",
    "point": "points",
    "design": "designs",
    "row": "rows",
    "done": "total",
}
"""Figures that count, and the figure that says how far."""


@dataclass(frozen=True)
class Progress:
    """One report of work under way."""

    stage: str
    """What is under way."""

    figures: Mapping[str, Any]
    """What else is told, the count left out."""

    unit: str = ""
    """What is counted; empty where nothing is."""

    done: int = 0
    """How many are done."""

    total: int | None = None
    """Of how many; None where that is not known."""

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> Self:
        """The report that figures make: the first of them that counts is the count."""
        rest = {name: value for name, value in figures.items() if name != "stage"}
        stage = str(figures.get("stage", "working"))
        for unit, value in figures.items():
            total = rest.get(COUNTS.get(unit, ""))
            if isinstance(value, int) and isinstance(total, int):
                left = {name: entry for name, entry in rest.items() if name not in (unit, COUNTS[unit])}
                return cls(stage, left, unit, value, total)
        return cls(stage, rest)


__all__ = ["COUNTS", "Progress", "Tell"]
