"""Data sets and one small, fast training loop.

`TrainingSettings` needs no torch; the rest is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xpert.training.settings import TrainingSettings

if TYPE_CHECKING:
    from xpert.training import distributed
    from xpert.training.data import Dataset, load_dataset
    from xpert.training.datasets import DATASETS
    from xpert.training.devices import computing_on, device_of
    from xpert.training.disturbance import Disturbance
    from xpert.training.loop import TrainingResult, accuracy, train
    from xpert.training.weights import load_weights, save_weights

_HOMES = {
    "DATASETS": "datasets",
    "Dataset": "data",
    "load_dataset": "data",
    "computing_on": "devices",
    "device_of": "devices",
    "Disturbance": "disturbance",
    "TrainingResult": "loop",
    "accuracy": "loop",
    "train": "loop",
    "load_weights": "weights",
    "save_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name == "distributed":
        return import_module(f"{__name__}.distributed")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DATASETS",
    "Dataset",
    "Disturbance",
    "TrainingResult",
    "TrainingSettings",
    "accuracy",
    "computing_on",
    "device_of",
    "distributed",
    "load_dataset",
    "load_weights",
    "save_weights",
    "train",
]
