"""Plain validated data: the design and its parts."""

from xpert.design._base import Model, describe, read_mapping, read_text
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
    "read_mapping",
    "read_text",
]
