"""How work says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One report of work under way."""

    stage: str = "working"
    """What is under way; set by whoever has the work done."""

    unit: str = ""
    """What is counted; empty where nothing is."""

    done: int = 0
    """How many are done."""

    total: int | None = None
    """Of how many; None where that is not known."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to say."""


Report = Callable[[Progress], object]
"""What work calls as it goes on. Only `xpert.solver.solve` looks at the answer."""


def of_stage(stage: str, report: Report | None) -> Report:
    """A report that passes on what it gets as a stage's; None passes on nothing."""
    return lambda progress: report(replace(progress, stage=stage)) if report else None


def of_part(part: str, report: Report | None) -> Report:
    """A report that passes on what it gets as a part's, which is among the figures; None passes on nothing."""
    return lambda progress: report(replace(progress, figures={"part": part, **progress.figures})) if report else None


__all__ = ["Progress", "Report", "of_part", "of_stage"]
