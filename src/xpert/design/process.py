"""A user's own CMOS process: the constants that circuits are made of."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from xpert.design._base import DataModel

Positive = Annotated[float, Field(gt=0, le=1e6)]
Length = Annotated[float, Field(gt=0, le=1e-5)]
PerWidth = Annotated[float, Field(ge=0, le=1e-6)]


def _check_currents(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        return parse(value)
    except ValueError:
        raise ValueError("must be a current above 0, or a list of 11: at 300, 310, ... 400 K") from None


Currents = Annotated[
    Positive | Annotated[tuple[Positive, ...], Field(min_length=11, max_length=11)], WrapValidator(_check_currents)
]
"""One value for all temperatures, or one for each of 300, 310, ... 400 K."""


class ProcessData(DataModel):
    """Transistors and wires of one process. "Per metre" is per metre of effective transistor width."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What tables call it."""

    source: Annotated[str, Field(min_length=10, max_length=2000)]
    """Where the constants come from."""

    feature_nm: Annotated[float, Field(ge=1, le=1000)]
    """Feature size F, in which layouts are drawn. [nm]"""

    vdd_v: Annotated[float, Field(gt=0, le=10)]
    """Supply voltage. [V]"""

    vth_v: Annotated[float, Field(gt=0, le=5)]
    """Threshold voltage. [V]"""

    gate_length_m: Length
    """Physical gate length. [m]"""

    ideal_gate_capacitance_f_per_m: PerWidth
    """Gate capacitance per width, without overlap and fringe. [F/m]"""

    fringe_capacitance_f_per_m: PerWidth
    """Gate fringe capacitance per width. [F/m]"""

    resistance_multiplier: Annotated[float, Field(gt=0, le=100)]
    """Effective on-resistance over supply voltage / on-current."""

    gm_current_n_a_per_m: Positive
    """Current of the NMOS transconductance. [A/m]"""

    gm_current_p_a_per_m: Positive
    """Current of the PMOS transconductance. [A/m]"""

    on_current_n_a_per_m: Currents
    """NMOS on-current. [A/m]"""

    on_current_p_a_per_m: Currents
    """PMOS on-current. [A/m]"""

    off_current_n_a_per_m: Currents
    """NMOS off-current. [A/m]"""

    off_current_p_a_per_m: Currents
    """PMOS off-current. [A/m]"""

    wire_width_nm: Annotated[float, Field(gt=0, le=10_000)]
    """Width of a crossbar wire. [nm]"""

    wire_aspect_ratio: Annotated[float, Field(gt=0, le=100)]
    """Thickness over width of a crossbar wire."""

    wire_resistivity_ohm_m: Annotated[float, Field(gt=0, le=1e-3)]
    """Resistivity of a crossbar wire at 300 K. [ohm m]"""

    fin_height_m: Length | None = None
    """Height of a fin; unset, like the two that follow: planar transistors. [m]"""

    fin_width_m: Length | None = None
    """Width of a fin. [m]"""

    fin_pitch_m: Length | None = None
    """Pitch of fins. [m]"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fins = [self.fin_height_m, self.fin_width_m, self.fin_pitch_m]
        if None in fins and fins != [None] * 3:
            raise ValueError("fin_height_m, fin_width_m and fin_pitch_m must all be given or none")
        if self.vth_v >= self.vdd_v:
            raise ValueError(f"vth_v must be below vdd_v ({self.vdd_v:g}), got {self.vth_v:g}")
        return self

    @property
    def finfet(self) -> bool:
        """FinFET rather than planar transistors."""
        return self.fin_pitch_m is not None


__all__ = ["ProcessData"]
