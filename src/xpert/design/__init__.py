"""Plain validated data: the design and its parts."""

from xpert.design._base import Model, describe, parse_mapping, read_mapping, read_text, shown
from xpert.design.chip import Activity, Buffers, CellType, Chip, Device, Technology
from xpert.design.design import SCHEMA, Design
from xpert.design.network import Layer, Network
from xpert.design.periphery import ADC_TYPES, AdcType, Periphery

__all__ = [
    "ADC_TYPES",
    "SCHEMA",
    "Activity",
    "AdcType",
    "Buffers",
    "CellType",
    "Chip",
    "Design",
    "Device",
    "Layer",
    "Model",
    "Network",
    "Periphery",
    "Technology",
    "describe",
    "parse_mapping",
    "read_mapping",
    "read_text",
    "shown",
]
