"""What all data models share: frozen, strict about keys, and errors that name the field."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import pydantic
import yaml
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from xpert.errors import ConfigError, DataError

_MAX_BYTES = 64 << 20
"""Largest text file that is read: far above any design, far below what would fill the memory."""


class DataModel(pydantic.BaseModel):
    """Frozen data; unknown keys, NaN and infinities are refused."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    parse_error: ClassVar[type[ConfigError | DataError]] = ConfigError
    """What broken data raises."""

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        # YAML reads `yes`, `on` and `off` as true and false, and Python would take those for 1 and 0.
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            if bool not in (annotation, *get_args(annotation)):
                raise ValueError("must not be true or false (in YAML: quote yes, no, on and off where they are text)")
        return value

    @classmethod
    def parse(cls, data: Any, where: str = "", folder: Path | None = None) -> Self:
        """Validate plain data.

        Args:
            data: What a YAML or JSON reader returned.
            where: The file or flag that it came from, for the message.
            folder: What paths of part files start from; the working directory by default.

        Raises:
            ConfigError: One line naming the first wrong field, its value and what is allowed; `parse_error` of others.
        """
        try:
            return cls.model_validate(data, context={"folder": folder or Path()})
        except pydantic.ValidationError as error:
            raised = cls.parse_error(describe(error, where))
            raised.problems = tuple(problems(error, where))
            raise raised from None
        except RecursionError:
            raise cls.parse_error(f"{where}: nested too deeply".removeprefix(": ")) from None

    def replace(self, **changes: Any) -> Self:
        """The same data with some fields changed; all rules are checked again.

        Raises:
            ConfigError: If a field is unknown or a rule is broken.
        """
        return self.parse({name: getattr(self, name) for name in self.model_fields_set} | changes)


def describe(error: pydantic.ValidationError, where: str = "") -> str:
    """The first problem as one line, and how many more there are."""
    first, *more = problems(error, where)
    return first + (f" [and {len(more)} more]" if more else "")


def problems(error: pydantic.ValidationError, where: str = "") -> list[str]:
    """All problems, each as one line: `file: field.path: message (got value)`."""
    # A default that depends on a wrong field is no problem of its own.
    return [
        _problem(detail, where)
        for detail in error.errors(include_url=False, include_context=False)
        if detail["type"] != "default_factory_not_called"
    ]


def _problem(detail: ErrorDetails, where: str) -> str:
    path = ".".join(_cut(str(part)) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown key"
    elif detail["type"] == "missing":
        message = "required, but not given"
    elif detail["type"] == "model_type":
        message = "must be a mapping of keys to values"
    # A rule between fields names its values itself; the whole mapping would say less.
    between_fields = detail["type"] == "value_error" and isinstance(detail["input"], dict)
    silent = between_fields or detail["type"] in {"missing", "extra_forbidden"}
    got = "" if silent else f" (got {shown(detail['input'])})"
    return _one_line(": ".join(part for part in (where, path, message) if part) + got)


@dataclass(frozen=True)
class OneOf:
    """Marks a field that takes one of some names, which are looked up when they are needed.

    So they stand where they mean something, may grow at run time, and cost an import only where they are asked for.
    """

    known: Callable[[], Collection[str]]
    """Gives the names, as a `Registry` has them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": list(self.known())}

    def _check(self, name: str) -> str:
        known = self.known()
        if name not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return name


class FileModel(DataModel):
    """Data that are a file of their own, whose layout has a version."""

    layout_versions: ClassVar[range]
    """Versions that are read; the last is the one that is written. Others are refused, never misread."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _at_present_version(cls, data: Any) -> Any:
        """Before all else, so that the message is about the version; what older ones hold is migrated where it is read.

        Raises:
            ValueError: If the version is unknown.
        """
        known, present = cls.layout_versions, cls.layout_versions[-1]
        if not isinstance(data, dict) or "schema_version" not in data:
            return data
        given = data["schema_version"]
        if isinstance(given, bool) or given not in known:
            reads = f"version {present}" if len(known) == 1 else f"versions {known[0]} to {present}"
            raise ValueError(f"schema_version: this XPert reads {reads}, got {shown(given)}")
        return data | {"schema_version": present}


SCHEMA = 2
"""Version of the layout of design files and configs."""

LAYOUTS = range(1, SCHEMA + 1)
"""Versions of them that are read. Version 1 had `chip.analog.encoding`, now `chip.encoding`; a `Chip` takes both."""


class _ShortRepr(reprlib.Repr):
    """Shows a wrong value briefly.

    Aliases let a few lines of YAML stand for a structure whose plain `repr` would not end, hence the limits on every
    kind; and an integer of thousands of digits has no `repr`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = self.maxother = 60
        self.maxlevel = 2

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 256:
            return f"an integer of {x.bit_length()} bits"
        return super().repr_int(x, level)


_SHORT = _ShortRepr()


def shown(value: Any) -> str:
    """A wrong value as messages show it: `repr`, cut to at most 80 characters on one line."""
    return _cut(_one_line(_SHORT.repr(value)))


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def read_text(path: Path | str, what: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: If it is missing, a folder, unreadable, too large or not UTF-8.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, which no {what} is")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such {what}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a {what}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file; a {what} is UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this {what}: {error.strerror}") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML, but a key that stands twice is an error: which value did the writer mean?"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {shown(key)} stands twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in one mapping")
    return mapping


def read_mapping(path: Path | str, what: str) -> dict[str, Any]:
    """A YAML or JSON file (JSON where the name ends in `.json`) that holds a mapping.

    Raises:
        ConfigError: With line and column where the text does not parse; also where a key stands twice.
    """
    return parse_mapping(read_text(path, what), str(path), what)


def parse_mapping(text: str, where: str, what: str) -> dict[str, Any]:
    """The mapping that a text in YAML holds, or in JSON where `where` ends in `.json`; see `read_mapping`.

    Raises:
        ConfigError: See `read_mapping`.
    """
    try:
        if where.endswith(".json"):
            data = json.loads(text, object_pairs_hook=_no_duplicates)
        else:
            data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise ConfigError(f"{where}:{place} not YAML: {_one_line(error.problem or str(error.context))}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {_one_line(' '.join(str(error).split()))}") from None
    except RecursionError:
        raise ConfigError(f"{where}: cannot be read as a {what}: nested too deeply") from None
    except ValueError as error:
        # The readers' own complaints about single values: 9999-99-99, an integer of 5000 digits.
        raise ConfigError(f"{where}: cannot be read as a {what}: {_one_line(str(error))}") from None
    except (AttributeError, LookupError, OverflowError, TypeError):
        # How PyYAML fails on a value that its explicit tag does not allow, as in `!!timestamp abc`.
        raise ConfigError(f"{where}: cannot be read as a {what}: a value does not fit its tag") from None
    if data is None:
        raise ConfigError(f"{where}: empty; a {what} is a mapping of keys to values")
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a {what} is a mapping of keys to values, not {type(data).__name__}")
    return data
