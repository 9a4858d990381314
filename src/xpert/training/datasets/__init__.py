"""Data sets, one file each, found by name. No torch here.

Another data set is registered with `DATASETS.register(DataSource(...))`, or announced by an installed package as an
entry point of the group `xpert.datasets`.
"""

from __future__ import annotations

from xpert.registry import Registry, modules_of
from xpert.training.source import DataSource

DATASETS: Registry[DataSource] = Registry(
    "dataset", "xpert.datasets", lambda: modules_of(__name__, "DATASET"), names_of=lambda source: (source.info.name,)
)
"""The data sets, by name."""

__all__ = ["DATASETS"]
