"""The periphery of one layer: what the co-search chooses besides the network.

The fields of `Periphery` are the list of decisions. Each says in its `Decision` what the rest of XPert has to know of
it. The options of a config, labels, columns of tables, names of sweeps and the keys of measured accuracies follow; so
do the arrays that costs are computed from, the simulation's layers, the rows of results and the figures of a report.

A field whose default is None is optional: while it is None the chip's own rule holds, and it is neither written nor
shown.

What a new field must bring is its physics: what it costs, in `xpert.hardware` (circuits find its values in
`PeripheryArrays.values`), and, where it changes sums, what it does to them in `xpert.analog` (layers find its value in
their `periphery`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from xpert.design._base import DataModel
from xpert.design.adc_registry import ADC_NAME

AdcType = Annotated[str, Field(pattern=ADC_NAME, max_length=60)]
"""A kind of ADC that is made of circuits (`ADCS`), or the name of one of the chip's own ADCs (`Adc`)."""

ColumnsPerAdc = Annotated[int, Field(ge=1, le=1024)]
AdcBits = Annotated[int, Field(ge=1, le=12)]
InputBits = Annotated[int, Field(ge=1, le=16)]
Copies = Annotated[int, Field(ge=1, le=4096)]
WeightBits = Annotated[int, Field(ge=1, le=16)]
CellBits = Annotated[int, Field(ge=1, le=8)]

Phase = Literal["architecture", "precision"]
"""When a decision is taken: with the network's channels, or on the trained network with its accuracy measured."""


@dataclass(frozen=True)
class Decision:
    """What a field of `Periphery` is to those who search, tabulate and keep it."""

    phase: Phase
    """When it is searched."""

    changes_sums: bool
    """Whether it changes what the columns sum up to, and with that the accuracy. Measurements are kept by these."""

    quantity: str
    """What is chosen, within a sentence: `ADC precision`."""

    label: str
    """Heading of a narrow column, within a sentence: `ADC bits`."""

    words: str
    """A value in words, `{}` in its place: `{}-bit ADC`."""

    options_name: str
    """What a config calls the list of options."""

    options: tuple[Any, ...]
    """The list of options by default."""

    options_text: str
    """What a config's documentation says of that list."""

    unit: str = ""
    """Unit of the values, if any."""

    changes_activity: bool = False
    """Whether it changes what rows are driven by or cells store, and with that the activity measured on a network."""

    finer: Literal["more", "less"] = "more"
    """Whether sums come closer to what is meant with more of it, or with less."""

    @property
    def title(self) -> str:
        """The label as it begins a line: `Columns per ADC`."""
        return self.label[0].upper() + self.label[1:]

    @property
    def axis(self) -> str:
        """Title of an axis: `Input precision [bit]`."""
        return self.quantity[0].upper() + self.quantity[1:] + (f" [{self.unit}]" if self.unit else "")


class Periphery(DataModel):
    """ADC type, column sharing, ADC precision and input precision of a layer's subarrays, and what else is decided."""

    adc_type: Annotated[
        AdcType,
        Decision(
            phase="architecture",
            changes_sums=False,
            quantity="ADC type",
            label="ADC",
            words="{}",
            options_name="adc_types",
            options=("sar", "flash"),
            options_text="Kinds of ADC: those made of circuits (`sar`, `flash`, ...), and names of `chip.adcs`.",
        ),
    ] = "sar"
    """Kind of analogue-to-digital converter: one of `ADCS`, or the name of one of `chip.adcs`."""

    columns_per_adc: Annotated[
        ColumnsPerAdc,
        Decision(
            phase="architecture",
            changes_sums=False,
            quantity="column sharing",
            label="columns per ADC",
            words="{} columns per ADC",
            options_name="columns_per_adc",
            options=(2, 4, 8, 16, 32),
            options_text="Degrees of column sharing.",
        ),
    ] = 8
    """Columns multiplexed onto one ADC. At most the columns of the crossbar."""

    adc_bits: Annotated[
        AdcBits,
        Decision(
            phase="precision",
            changes_sums=True,
            quantity="ADC precision",
            label="ADC bits",
            words="{}-bit ADC",
            options_name="adc_bits",
            options=(3, 4, 5, 6),
            options_text="ADC precisions to choose from. [bit]",
            unit="bit",
        ),
    ] = 6
    """ADC precision: 2**adc_bits levels. [bit]"""

    input_bits: Annotated[
        InputBits,
        Decision(
            phase="precision",
            changes_sums=True,
            quantity="input precision",
            label="input bits",
            words="{}-bit inputs",
            options_name="input_bits",
            options=(3, 4, 5, 6, 8),
            options_text="Input precisions to choose from. [bit]",
            unit="bit",
            changes_activity=True,
        ),
    ] = 8
    """Input precision: bit-serial read cycles per input vector. [bit]"""

    copies: Annotated[
        Copies | None,
        Decision(
            phase="architecture",
            changes_sums=False,
            quantity="number of copies",
            label="chosen copies",
            words="{} copies",
            options_name="copies",
            options=(None,),
            options_text="Copies of a layer's weights that work at once on different output positions, against area; "
            "null: as many as the mapping's own rule makes.",
        ),
    ] = None
    """Copies of the layer's weights, each for other output positions, of which there are no fewer; unset: tiles are
    filled with copies, and pipelined chips have more of early layers."""

    weight_bits: Annotated[
        WeightBits | None,
        Decision(
            phase="precision",
            changes_sums=True,
            quantity="weight precision",
            label="weight bits",
            words="{}-bit weights",
            options_name="weight_bits",
            options=(None,),
            options_text="Weight precisions to choose from; null: the chip's. [bit]",
            unit="bit",
            changes_activity=True,
        ),
    ] = None
    """Weight precision; unset: `chip.weight_bits`. [bit]"""

    cell_bits: Annotated[
        CellBits | None,
        Decision(
            phase="precision",
            changes_sums=True,
            quantity="cell precision",
            label="cell bits",
            words="{}-bit cells",
            options_name="cell_bits",
            options=(None,),
            options_text="Bits per cell to choose from, of which one cell stores as many or fewer; null: the chip's. "
            "[bit]",
            unit="bit",
            changes_activity=True,
            finer="less",
        ),
    ] = None
    """Bits that the layer's cells store, no more than its weights have; unset: `chip.device.cell_bits`. [bit]"""

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A file says what was decided. What it does not name keeps its meaning when further decisions come.
        unset = [name for name in OPTIONAL_FIELDS if getattr(self, name) is None]
        return {name: value for name, value in handler(self).items() if name not in unset}

    @classmethod
    def decisions(cls, phase: Phase | None = None, *, changes_sums: bool | None = None) -> dict[str, Decision]:
        """The fields in order, and what they are.

        Args:
            phase: Only those that are searched in this phase.
            changes_sums: Only those that change column sums, or only the others.
        """
        return {
            name: entry
            for name, field in cls.model_fields.items()
            for entry in field.metadata
            if isinstance(entry, Decision)
            and phase in (None, entry.phase)
            and changes_sums in (None, entry.changes_sums)
        }

    def values(self, fields: Iterable[str]) -> tuple[Any, ...]:
        """Values of some fields, in the order given."""
        return tuple(getattr(self, name) for name in fields)

    def with_values(self, fields: Sequence[str], values: Sequence[Any]) -> Self:
        """The same with other values in some fields; optional ones at the end may be left out, and stay.

        Raises:
            ConfigError: If a field is unknown or a value is not allowed.
            ValueError: If there are not as many values as fields.
        """
        return self.replace(**by_field(fields, values))

    def taken(self, fields: Iterable[str] | None = None) -> list[str]:
        """Those of some fields, or of all, that are decided: the others are optional and None."""
        fields = self.decisions() if fields is None else fields
        return [name for name in fields if getattr(self, name) is not None]

    def short(self, fields: Iterable[str] | None = None) -> str:
        """Values of some fields, or all, in the least space, optional ones in words: `sar/8/6/8`, `sar/8/4 copies`."""
        decisions = self.decisions()
        return "/".join(
            decisions[name].words.format(value) if name in OPTIONAL_FIELDS else str(value)
            for name in self.taken(fields)
            for value in [getattr(self, name)]
        )

    def in_words(self, fields: Iterable[str] | None = None) -> str:
        """Values of some fields, or all, in words: `sar, 8 columns per ADC, 6-bit ADC, 8-bit inputs`."""
        decisions = self.decisions()
        return ", ".join(decisions[name].words.format(getattr(self, name)) for name in self.taken(fields))

    def sums_key(self) -> str:
        """What a measured accuracy is kept by: all that changes column sums, as `6/8`."""
        return self.short(SUMS_FIELDS)


def by_field(fields: Sequence[str], values: Sequence[Any], *, unset: bool = True) -> dict[str, Any]:
    """Values of some fields, by field.

    Args:
        fields: Of a periphery.
        values: Their values; those of optional fields at the end may be left out, and are left out then.
        unset: Whether optional fields that are None are there.

    Raises:
        ValueError: If there are not as many values as fields.
    """
    missing = fields[len(values) :]
    if len(values) > len(fields) or any(name not in OPTIONAL_FIELDS for name in missing):
        raise ValueError(f"{len(fields)} fields ({', '.join(fields)}), but {len(values)} values")
    return {name: value for name, value in zip(fields, values) if unset or value is not None}


def in_order(values: Sequence[Any]) -> list[Any]:
    """A key that sorts values of fields, those that are None first."""
    return [value or 0 for value in values]


def options_of(base: Periphery, **lists: Iterable[Any]) -> list[Periphery]:
    """All combinations of options of some fields; the rest as in the base.

    Args:
        base: Gives the other fields.
        lists: The options of each field. In the result they follow the order of the fields, the last one innermost.

    Raises:
        ConfigError: If a field is unknown or an option is not allowed.
    """
    fields = sorted(lists, key=lambda name: [*type(base).model_fields, name].index(name))
    return [base.with_values(fields, values) for values in itertools.product(*(lists[name] for name in fields))]


def decisions_taken(peripheries: Sequence[Periphery], phase: Phase | None = None) -> dict[str, Decision]:
    """The decisions that some of these take, in the order of the fields: what a table of them has columns for."""
    return {
        name: decision
        for name, decision in Periphery.decisions(phase).items()
        if name not in OPTIONAL_FIELDS or any(getattr(entry, name) is not None for entry in peripheries)
    }


OPTIONAL_FIELDS = tuple(name for name in Periphery.decisions() if Periphery.model_fields[name].default is None)
"""Fields that may be None."""

ARCHITECTURE_FIELDS = tuple(Periphery.decisions("architecture"))
"""Fields of phase 1."""

PRECISION_FIELDS = tuple(Periphery.decisions("precision"))
"""Fields of phase 2."""

SUMS_FIELDS = tuple(Periphery.decisions(changes_sums=True))
"""Fields that change column sums."""

KIND_FIELDS = tuple(Periphery.decisions("architecture", changes_sums=False))
"""Fields of phase 1 that change no sum but by ADCs' own errors: without these they follow the precisions unmeasured."""
