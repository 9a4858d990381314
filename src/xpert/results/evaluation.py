"""What a design costs, as `xpert evaluate --json` prints it and results.json holds it."""

from __future__ import annotations

from typing import Annotated, Self

import pydantic
from pydantic import Field

from xpert.design import Periphery
from xpert.results.record import Positive, Record

FIGURES = ("area_mm2", "latency_us", "energy_uj", "edap", "tops_per_watt", "tops_per_mm2")
"""The figures of merit of a chip, by their names in an evaluation."""

HIGHER_IS_BETTER = frozenset({"tops_per_watt", "tops_per_mm2"})
"""Those of which more is better."""

Breakdown = dict[str, dict[str, pydantic.FiniteFloat]]
"""`{"area_mm2": {component: value}, ...}`."""


class LayerCost(Periphery, Record):
    """One layer of an evaluation: its periphery, what it costs and where it is."""

    name: str
    digital: bool = False
    """Whether the layer is kept off the crossbars: it has no tiles, and does not use its periphery."""

    area_mm2: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    latency_us: Positive
    energy_uj: Positive
    leakage_energy_uj: float | None = None
    """Leakage in `energy_uj`."""

    tiles: Annotated[int | float, Field(ge=0, le=1e6)]
    slot_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a slot of the floorplan that a tile takes: 1, 1/2, 1/4, ...; None without a floorplan."""

    speed_up: Annotated[int, Field(ge=1)] = 1
    """Copies of the layer's weights."""

    utilization: Annotated[float, Field(ge=0, le=1 + 1e-6)]
    """Share of the tiles' cells that hold weights."""

    sensing_period_ns: float | None = None
    input_bit_density: float | None = None
    """Share of ones among the input bits, assumed or measured."""

    cell_conductance_us: float | None = None
    """Mean conductance of an active cell. [uS]"""

    in_channels: int
    out_channels: int
    digital_macs: int = 0
    """Multiply-accumulates of the digital unit after the layer."""

    digital_functions: int = 0
    """Values of functions that the digital unit looks up after the layer."""

    breakdown: Breakdown = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _has_tiles(self) -> Self:
        if not self.digital and not (self.tiles > 0 and self.area_mm2 > 0):
            raise ValueError(f"tiles and area_mm2 of {self.name} must be above 0")
        return self


class EvaluationRecord(Record):
    """Cost of a design: what `Evaluation.to_dict` gives."""

    name: str = "design"
    area_mm2: Positive
    latency_us: Positive
    energy_uj: Positive
    leakage_energy_uj: float | None = None
    """Leakage in `energy_uj`."""

    edap: Positive
    """Energy times latency times area. [uJ us mm2]"""

    tops_per_watt: Positive
    tops_per_mm2: Positive
    throughput_tops: float | None = None
    frames_per_second: float | None = None
    leakage_mw: float | None = None
    operations: int | None = None
    """Operations per image, two per multiply-accumulate."""

    sensing_period_ns: float | None = None
    """Of the slowest layer."""

    tiles: int | None = None
    slots: int | None = None
    """Slots of the floorplan, in which tiles lie; None without one."""

    slot_mm2: Positive | None = None
    """Area of a slot, a square. [mm2]"""

    layers: tuple[LayerCost, ...] = ()
    breakdown: Breakdown = Field(default_factory=dict)

    @property
    def on_crossbars(self) -> tuple[LayerCost, ...]:
        """The layers that crossbars hold."""
        return tuple(layer for layer in self.layers if not layer.digital)


def ratios(found: EvaluationRecord, base: EvaluationRecord) -> dict[str, float]:
    """How many times better a design is than another, by figure; above 1 is better."""
    better = {}
    for figure in FIGURES:
        mine, other = getattr(found, figure), getattr(base, figure)
        better[figure] = mine / other if figure in HIGHER_IS_BETTER else other / mine
    return better


__all__ = ["FIGURES", "HIGHER_IS_BETTER", "Breakdown", "EvaluationRecord", "LayerCost", "ratios"]
