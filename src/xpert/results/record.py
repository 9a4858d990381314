"""What all results share: one model is written to a file and read back from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import pydantic
from pydantic import Field

from xpert.design import DataModel, read_mapping
from xpert.errors import ConfigError, DataError


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[int | float | None, pydantic.BeforeValidator(_finite_or_none)]
"""A number that a diverged or infeasible step may lack."""


class Record(DataModel):
    """Part of a results file.

    Unknown keys are let through, so that runs of newer versions can still be shown. What was not set is not written:
    a file holds what was measured, and no defaults.
    """

    model_config = pydantic.ConfigDict(extra="ignore")

    parse_error: ClassVar[type[ConfigError | DataError]] = DataError

    @classmethod
    def read(cls, path: Path, what: str) -> Self:
        """The record that a file holds.

        Args:
            path: A JSON file.
            what: What it is called in messages.

        Raises:
            DataError: If it is missing, does not parse, or a field is wrong.
        """
        try:
            data = read_mapping(path, what)
        except ConfigError as error:
            raise DataError(str(error)) from None
        return cls.parse(data, str(path))

    def to_json(self, indent: int | None = None) -> str:
        """The text of its file; NaN and infinities are null."""
        return self.model_dump_json(exclude_unset=True, indent=indent) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return self.model_dump(mode="json", exclude_unset=True)


class OpenRecord(Record):
    """A record whose further figures depend on the method that wrote it; they are kept."""

    model_config = pydantic.ConfigDict(extra="allow")


__all__ = ["Number", "OpenRecord", "Positive", "Record", "Share"]
