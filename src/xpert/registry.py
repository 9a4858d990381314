"""Things that are found by name: what XPert ships, what a program registers, what an installed package brings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from xpert.errors import ConfigError

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, each imported when it is asked for.

    A package adds entries through an entry point group, a program through `register`.

    Args:
        what: What an entry is, for messages.
        group: Name of the entry point group.
        shipped: Where XPert's own entries are, `module:attribute` by name.
    """

    def __init__(self, what: str, group: str, shipped: Mapping[str, str]) -> None:
        self._what = what
        self._group = group
        self._shipped = dict(shipped)
        self._registered: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry for the life of the process.

        Raises:
            ConfigError: If the name is taken.
        """
        if name in self:
            raise ConfigError(f"{self._what}: {name!r} is taken")
        self._registered[name] = entry

    def find(self, name: str) -> Entry:
        """The entry of a name that a user gave.

        Raises:
            ConfigError: If there is none; names those that there are.
        """
        return self[self.check(name)]

    def check(self, name: str) -> str:
        """The name itself, if there is an entry.

        Raises:
            ConfigError: If there is none; names those that there are.
        """
        if name not in self:
            raise ConfigError(f"{self._what}: must be one of {', '.join(self)} (got {name!r})")
        return name

    def __getitem__(self, name: str) -> Entry:
        if name in self._shipped:
            module, _, attribute = self._shipped[name].partition(":")
            return cast(Entry, getattr(importlib.import_module(module), attribute))
        if name in self._registered:
            return self._registered[name]
        found: Any = self._installed()[name].load()
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._shipped or name in self._registered or name in self._installed()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._shipped, *self._registered, *self._installed()]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self._group)}


__all__ = ["Registry"]
