"""Things found by name that are imported when they are used: a name costs no import, and a missing package no error."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from xpert.errors import ConfigError

Entry = TypeVar("Entry")


class LazyRegistry(Generic[Entry]):
    """Entries by name: those that come with XPert, those registered at run time, those of installed packages.

    Args:
        kind: What an entry is, for messages.
        group: Group of entry points by which installed packages announce theirs.
        shipped: Where XPert's own entries are, `module:attribute` by name.
    """

    def __init__(self, kind: str, group: str, shipped: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._shipped = dict(shipped)
        self._added: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry) -> Entry:
        """Make an entry known in this process.

        Returns:
            The entry.

        Raises:
            ConfigError: If the name is taken.
        """
        if name in self:
            raise ConfigError(f"{self.kind}: the name {name!r} is taken")
        self._added[name] = entry
        return entry

    def find(self, name: str) -> Entry:
        """The entry of a name, imported now.

        Raises:
            ConfigError: If there is none, or an installed package's entry cannot be loaded.
        """
        if name in self._added:
            return self._added[name]
        if name in self._shipped:
            module, _, attribute = self._shipped[name].partition(":")
            return cast(Entry, getattr(import_module(module), attribute))
        installed = self._installed()
        if name not in installed:
            raise ConfigError(f"{self.kind}: must be one of {', '.join(self.names())} (got {name!r})")
        try:
            found: Any = installed[name].load()
        except (ImportError, AttributeError) as error:
            value = installed[name].value
            raise ConfigError(f"{self.kind}: {value} of {self.group} cannot be loaded: {error}") from None
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._shipped or name in self._added or name in self._installed()

    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(dict.fromkeys([*self._shipped, *self._added, *self._installed()]))

    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in sorted(entry_points(group=self.group))}


__all__ = ["LazyRegistry"]
