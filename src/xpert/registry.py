"""Things found by name: those that come with XPert, those of installed packages, and those registered at run time."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from xpert.errors import ConfigError

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Entries by name.

    What comes with XPert is one module per entry in one package, found by looking there. Other packages announce
    theirs as entry points of a group; those are loaded when a name is not known yet, or all names are asked for.

    Args:
        kind: What an entry is, for messages.
        package: Package of the shipped modules; those that start with an underscore hold no entry.
        attribute: What the entry is called in its module.
        group: Group of entry points.
        names: The names of an entry.
    """

    def __init__(
        self, kind: str, package: str, attribute: str, group: str, names: Callable[[Entry], tuple[str, ...]]
    ) -> None:
        self.kind = kind
        self.group = group
        self._package = package
        self._attribute = attribute
        self._names = names
        self._shipped: dict[str, Entry] = {}
        self._added: dict[str, Entry] = {}
        self._installed_are_loaded = False

    def register(self, entry: Entry) -> Entry:
        """Make an entry known, in this process, by its names.

        Returns:
            The entry.

        Raises:
            ConfigError: If one of its names stands for something else.
        """
        known = self._known()
        for name in self._names(entry):
            if known.get(name, entry) is not entry:
                raise ConfigError(f"{self.kind}: the name {name!r} is taken")
        self._added |= dict.fromkeys(self._names(entry), entry)
        return entry

    def find(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            ConfigError: If there is none, or an installed package's entries cannot be loaded.
        """
        if name not in self:
            raise ConfigError(f"{self.kind}: must be one of {', '.join(self.names())}, got {name!r}")
        return self._known()[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._known():
            self._load_installed()
        return name in self._known()

    def names(self) -> tuple[str, ...]:
        """All names."""
        self._load_installed()
        return tuple(self._known())

    def shipped(self) -> tuple[str, ...]:
        """Names of what comes with XPert."""
        if not self._shipped:
            # Sorted, because the order in a folder or an archive is not ours.
            for module in sorted(found.name for found in pkgutil.iter_modules(import_module(self._package).__path__)):
                if not module.startswith("_"):
                    entry: Entry = getattr(import_module(f"{self._package}.{module}"), self._attribute)
                    self._shipped |= dict.fromkeys(self._names(entry), entry)
        return tuple(self._shipped)

    def _known(self) -> dict[str, Entry]:
        self.shipped()
        return self._shipped | self._added

    def _load_installed(self) -> None:
        if self._installed_are_loaded:
            return
        for point in sorted(entry_points(group=self.group)):
            try:
                self.register(point.load())
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"{self.kind}: {point.value} of {self.group} cannot be loaded: {error}") from None
        self._installed_are_loaded = True


__all__ = ["Registry"]
