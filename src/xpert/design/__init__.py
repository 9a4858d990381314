"""Plain validated data: the design and its parts."""

from xpert.design._base import (
    SCHEMA,
    DataModel,
    at_present_version,
    describe,
    parse_mapping,
    read_mapping,
    read_text,
    shown,
)
from xpert.design.adc import Adc
from xpert.design.analog import IDEAL, OFF, AnalogSettings
from xpert.design.chip import Activity, Buffers, CellState, CellType, Chip, Device, Technology
from xpert.design.design import Design
from xpert.design.encoding import ENCODINGS, WeightCode
from xpert.design.network import Layer, Network
from xpert.design.parts import PART_KINDS, load_part, part_names, part_text
from xpert.design.periphery import ADC_TYPES, AdcType, Periphery
from xpert.design.process import ProcessData

__all__ = [
    "ADC_TYPES",
    "ENCODINGS",
    "IDEAL",
    "OFF",
    "PART_KINDS",
    "SCHEMA",
    "Activity",
    "Adc",
    "AdcType",
    "AnalogSettings",
    "Buffers",
    "CellState",
    "CellType",
    "Chip",
    "DataModel",
    "Design",
    "Device",
    "Layer",
    "Network",
    "Periphery",
    "ProcessData",
    "Technology",
    "WeightCode",
    "at_present_version",
    "describe",
    "load_part",
    "parse_mapping",
    "part_names",
    "part_text",
    "read_mapping",
    "read_text",
    "shown",
]
