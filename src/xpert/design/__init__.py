"""Plain validated data: the design and its parts."""

from xpert.design._base import (
    LAYOUTS,
    SCHEMA,
    DataModel,
    FileModel,
    OneOf,
    describe,
    parse_mapping,
    read_mapping,
    read_text,
    shown,
)
from xpert.design.adc import Adc
from xpert.design.adc_registry import ADCS
from xpert.design.analog import IDEAL, OFF, AnalogSettings
from xpert.design.chip import (
    Activity,
    Buffers,
    CellState,
    CellType,
    Chip,
    Converters,
    Device,
    StateDependent,
    Technology,
)
from xpert.design.design import Design
from xpert.design.encoding import ENCODINGS, WeightCode
from xpert.design.network import Layer, Network, NetworkSource, PoolKind, Work
from xpert.design.parts import PART_KINDS, load_part, part_names, part_text
from xpert.design.periphery import (
    ARCHITECTURE_FIELDS,
    KIND_FIELDS,
    OPTIONAL_FIELDS,
    PRECISION_FIELDS,
    SUMS_FIELDS,
    AdcType,
    Decision,
    Periphery,
    Phase,
    by_field,
    decisions_taken,
    options_of,
)
from xpert.design.process import ProcessData

__all__ = [
    "ADCS",
    "ARCHITECTURE_FIELDS",
    "ENCODINGS",
    "IDEAL",
    "KIND_FIELDS",
    "LAYOUTS",
    "OFF",
    "OPTIONAL_FIELDS",
    "PART_KINDS",
    "PRECISION_FIELDS",
    "SCHEMA",
    "SUMS_FIELDS",
    "Activity",
    "Adc",
    "AdcType",
    "AnalogSettings",
    "Buffers",
    "CellState",
    "CellType",
    "Chip",
    "Converters",
    "DataModel",
    "Decision",
    "Design",
    "Device",
    "FileModel",
    "Layer",
    "Network",
    "NetworkSource",
    "OneOf",
    "Periphery",
    "Phase",
    "PoolKind",
    "ProcessData",
    "StateDependent",
    "Technology",
    "WeightCode",
    "Work",
    "by_field",
    "decisions_taken",
    "describe",
    "load_part",
    "options_of",
    "parse_mapping",
    "part_names",
    "part_text",
    "read_mapping",
    "read_text",
    "shown",
]
