"""What all data models share: frozen, strict about keys, and errors that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import pydantic
import yaml

from xpert.errors import ConfigError


class Model(pydantic.BaseModel):
    """Frozen data; unknown keys, NaN and infinities are refused."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def parse(cls, data: Any, where: str = "") -> Self:
        """Validate plain data.

        Args:
            data: What a YAML or JSON reader returned.
            where: The file or flag that it came from, for the message.

        Raises:
            ConfigError: One line naming the first wrong field, its value and what is allowed.
        """
        try:
            return cls.model_validate(data)
        except pydantic.ValidationError as error:
            raise ConfigError(describe(error, where)) from None


def describe(error: pydantic.ValidationError, where: str = "") -> str:
    """The first problem as one line, `file: field.path: message (got value)`, and how many more there are."""
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    path = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key"
    elif first["type"] == "missing":
        message = "required, but not given"
    got = ""
    if first["type"] not in {"missing", "extra_forbidden"}:
        value = repr(first["input"])
        got = f" (got {value if len(value) <= 60 else value[:57] + '...'})"
    more = f" [and {len(details) - 1} more]" if len(details) > 1 else ""
    return ": ".join(part for part in (where, path, message) if part).replace("\n", " ") + got + more


def read_text(path: Path | str, what: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: If it is missing, a folder, unreadable or not UTF-8.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such {what}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a {what}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file; a {what} is UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this {what}: {error.strerror}") from None


def read_mapping(path: Path | str, what: str) -> dict[str, Any]:
    """A YAML or JSON file (JSON where the name ends in `.json`) that holds a mapping.

    Raises:
        ConfigError: With line and column where the text does not parse.
    """
    text = read_text(path, what)
    try:
        data = json.loads(text) if str(path).endswith(".json") else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise ConfigError(f"{path}:{place} not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        reason = " ".join(str(error).split()) or "nested too deeply"
        raise ConfigError(f"{path}: cannot be read as a {what}: {reason}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a {what} is a mapping of keys to values, not {type(data).__name__}")
    return data
