"""Data sets, one file each, found by name. No torch here.

Another data set is registered with `DATASETS.register(DataSource(...))`, or announced by an installed package as an
entry point of the group `xpert.datasets`.
"""

from __future__ import annotations

from xpert.registry import Registry, modules_of
from xpert.training.datasets._code import data_of_code
from xpert.training.source import DataRequest, DatasetInfo, DataSource, OwnData

DATASETS: Registry[DataSource | OwnData] = Registry(
    "dataset", "xpert.datasets", lambda: modules_of(__name__, "DATASET"), names_of=lambda source: (source.name,)
)
"""The data sets, and the forms of the user's own, by name."""


def find_dataset(name: str) -> DataSource | OwnData:
    """A data set by its name, or by the code that makes it: `path.py:factory`, `package.module:factory`.

    Raises:
        ConfigError: If there is no such data set.
    """
    return (None if name in DATASETS.known() else data_of_code(name)) or DATASETS.find(name)


def describe_dataset(request: DataRequest) -> DatasetInfo:
    """What is known of a data set without its pixels; those of the user's own are looked at, and code is executed.

    Raises:
        ConfigError: If there is no such data set, or code that makes it fails.
        DataError: If it is missing or does not fit together.
    """
    return find_dataset(request.name).describe(request)


__all__ = ["DATASETS", "describe_dataset", "find_dataset"]
