"""The hardware model: area, latency and energy of in-memory-computing chips, for one design or for millions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpert.hardware.adcs import AdcKind, Conversion
from xpert.hardware.block import Block
from xpert.hardware.chip import Context
from xpert.hardware.circuits import Cost
from xpert.hardware.evaluate import Evaluation, evaluate, evaluate_batch
from xpert.hardware.subarray import PeripheryArrays
from xpert.hardware.switches import PHYSICAL, REFERENCE, Switches
from xpert.hardware.tables import CostTables, LayerTable, cost_tables

if TYPE_CHECKING:
    from xpert.hardware.reference.validate import Validation, validate
    from xpert.hardware.silicon.compare import SiliconValidation, validate_silicon


def __getattr__(name: str) -> Any:
    # The harnesses for reference rows and silicon are no part of the model: `xpert evaluate` does not wait for it.
    if name in ("Validation", "validate"):
        from xpert.hardware.reference import validate as harness

        return getattr(harness, name)
    if name in ("SiliconValidation", "validate_silicon"):
        from xpert.hardware.silicon import compare

        return getattr(compare, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
    "SiliconValidation",
    "Switches",
    "Validation",
    "cost_tables",
    "evaluate",
    "evaluate_batch",
    "validate",
    "validate_silicon",
]
