"""Tables for notebooks: as HTML, and as data frames of pandas or polars, whichever is installed."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from xpert.errors import ConfigError

_LIBRARIES = ("pandas", "polars")


def to_frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows as a pandas data frame, or, without pandas, as a polars one; what is a mapping or a list itself is left out.

    Raises:
        ConfigError: If neither is installed.
    """
    plain = [{key: value for key, value in row.items() if not isinstance(value, dict | list | tuple)} for row in rows]
    for name in _LIBRARIES:
        try:
            library = import_module(name)
        except ImportError:
            continue
        return library.DataFrame(plain)
    raise ConfigError("a data frame needs pandas or polars: pip install pandas")


def to_html(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A small table under a title, as HTML that a notebook shows."""

    def cells(values: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values) + "</tr>"

    head, body = cells(header, "th"), "".join(cells(row, "td") for row in rows)
    return f"<table><caption>{html.escape(title)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


__all__ = ["to_frame", "to_html"]
