"""The hardware model: area, latency and energy of in-memory-computing chips, for one design or for millions."""

from xpert.design import register_adc
from xpert.hardware.adcs import AdcKind, Conversion
from xpert.hardware.block import Block
from xpert.hardware.chip import Context
from xpert.hardware.circuits import Cost
from xpert.hardware.evaluate import Evaluation, evaluate, evaluate_batch
from xpert.hardware.reference.validate import Validation, validate
from xpert.hardware.subarray import PeripheryArrays
from xpert.hardware.switches import PHYSICAL, REFERENCE, Switches
from xpert.hardware.tables import CostTables, LayerTable, cost_tables

__all__ = [
    "PHYSICAL",
    "REFERENCE",
    "AdcKind",
    "Block",
    "Context",
    "Conversion",
    "Cost",
    "CostTables",
    "Evaluation",
    "LayerTable",
    "PeripheryArrays",
    "Switches",
    "Validation",
    "cost_tables",
    "evaluate",
    "evaluate_batch",
    "register_adc",
    "validate",
]
