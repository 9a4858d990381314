"""results.json of a run: every figure of its report."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from xpert.design import FileModel
from xpert.results.designs import DesignComparison
from xpert.results.record import Number
from xpert.results.stages import Architecture, Epoch, Precision

Machine = dict[str, str | int | float | None]
"""What a run ran on."""


class Results(FileModel, DesignComparison):
    """results.json of a run; of an unfinished one, what there is."""

    layout_versions: ClassVar[range] = range(1, 2)

    schema_version: int = 1
    name: str | None = None
    seed: int | None = None
    machine: Machine = Field(default_factory=dict)
    date: str | None = None
    command: str | None = None
    wall_seconds: Number = None
    peak_memory_mib: Number = None
    architecture: Architecture | None = None
    training: dict[str, tuple[Epoch, ...]] = Field(default_factory=dict)
    """Curves of the networks, `searched` and `typical`."""

    precision: Precision | None = None


__all__ = ["Machine", "Results"]
