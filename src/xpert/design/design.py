"""`Design`: the product's one artefact. Network + chip + the periphery of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from xpert.design._base import LAYOUTS, SCHEMA, FileModel, read_mapping
from xpert.design.chip import Activity, Chip
from xpert.design.network import Network
from xpert.design.periphery import Periphery, by_field
from xpert.files import write_atomically

MOST_PULSED_BITS = 10
"""Highest input precision of pulses: a microsecond of 1-ns pulses, and sums that can be counted one by one. [bit]"""


class Design(FileModel):
    """A network on a chip, with the periphery of every layer."""

    layout_versions: ClassVar[range] = LAYOUTS

    schema_version: Literal[2] = SCHEMA
    """Version of this file's layout."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = "design"
    """What tables and figures call it."""

    chip: Chip = Chip()
    """What is common to all layers."""

    network: Network
    """Layers and their shapes."""

    periphery: Annotated[tuple[Periphery, ...], Field(min_length=1)]
    """One entry per layer of the network, in the same order."""

    activity: Annotated[tuple[Activity, ...], Field(min_length=1)] | None = None
    """Data statistics of each layer, in the same order, as measured on the trained network (`xpert evaluate
    --weights`); unset: `chip.activity` for all layers."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.periphery) != len(self.network.layers):
            raise ValueError(
                f"periphery needs one entry per layer ({len(self.network.layers)}), got {len(self.periphery)}"
            )
        if self.activity is not None and len(self.activity) != len(self.network.layers):
            raise ValueError(
                f"activity needs one entry per layer ({len(self.network.layers)}), got {len(self.activity)}"
            )
        for index, entry in enumerate(self.periphery):
            field = f"periphery.{index}."
            self.chip.check_adc(entry.adc_type, entry.adc_bits, field + "adc_type", field + "adc_bits")
            self.chip.check_bits(entry.weight_bits, entry.cell_bits, field + "weight_bits", field + "cell_bits")
            if self.chip.input_coding == "pulse_width" and entry.input_bits > MOST_PULSED_BITS:
                raise ValueError(
                    f"periphery.{index}.input_bits must be at most {MOST_PULSED_BITS} for input_coding 'pulse_width' "
                    f"({2**MOST_PULSED_BITS - 1} pulses), got {entry.input_bits}"
                )
            if entry.columns_per_adc > self.chip.columns:
                raise ValueError(
                    f"periphery.{index}.columns_per_adc must not exceed the crossbar's {self.chip.columns} columns, "
                    f"got {entry.columns_per_adc}"
                )
        return self

    @classmethod
    def homogeneous(cls, network: Network, chip: Chip, periphery: Periphery, name: str = "homogeneous") -> Self:
        """The same periphery in every layer."""
        return cls(name=name, chip=chip, network=network, periphery=(periphery,) * len(network.layers))

    def with_values(self, fields: Sequence[str], rows: Sequence[Sequence[Any]]) -> Self:
        """The same design with other values in some fields of the periphery.

        Args:
            fields: Of `Periphery`.
            rows: Their values in each layer, [layers, fields].

        Raises:
            ConfigError: If a field is unknown or a rule is broken; says in which layer.
            ValueError: If there is not one row for every layer, or not one value for every field; optional fields at
                the end may lack theirs, and stay.
        """
        entries = zip(self.periphery, rows, strict=True)
        # As plain data, so that a broken rule is told with the layer's place.
        changed = (entry.model_dump(exclude_unset=True) | by_field(fields, row) for entry, row in entries)
        return self.replace(periphery=tuple(changed))

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a design file, JSON or YAML.

        Raises:
            ConfigError: If it is missing, does not parse, or breaks a rule.
        """
        return cls.parse(read_mapping(path, "design file"), str(path), Path(path).parent)

    def write(self, path: Path | str) -> None:
        """Write as JSON, atomically."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")
