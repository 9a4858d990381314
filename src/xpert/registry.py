"""Things found by name: those that come with XPert, those of installed packages, and those registered at run time.

A name costs no import where it is said beside the place of its entry: the entry is imported when it is asked for.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from xpert.errors import ConfigError

Entry = TypeVar("Entry")


def modules_of(package: str, attribute: str) -> dict[str, str]:
    """A place `module:attribute` for each module of a package, by the module's name; those with an underscore are none.

    Sorted, because the order in a folder or an archive is not ours.
    """
    modules = sorted(found.name for found in pkgutil.iter_modules(import_module(package).__path__))
    return {name: f"{package}.{name}:{attribute}" for name in modules if not name.startswith("_")}


class Registry(Collection[str], Generic[Entry]):
    """Entries by name; a collection of the names.

    Args:
        kind: What an entry is, for messages.
        group: Group of entry points by which installed packages announce theirs.
        shipped: Gives the places `module:attribute` of XPert's own entries, by name.
        names_of: The names of an entry, where entries name themselves: then they are imported to learn them.
        pattern: What names look like, as a regular expression.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        shipped: Callable[[], Mapping[str, str]],
        *,
        names_of: Callable[[Entry], Iterable[str]] | None = None,
        pattern: str = ".+",
    ) -> None:
        self.kind = kind
        self.group = group
        self._places = shipped
        self._names_of = names_of
        self._pattern = pattern
        self._shipped: dict[str, Entry | EntryPoint] = {}
        self._installed: dict[str, Entry | EntryPoint] | None = None
        self._added: dict[str, Entry | EntryPoint] = {}

    def register(self, entry: Entry, name: str | None = None) -> Entry:
        """Make an entry known in this process.

        Args:
            entry: The entry.
            name: What it is called; unset where entries name themselves.

        Returns:
            The entry.

        Raises:
            ConfigError: If a name stands for something else, or is not one.
        """
        names = (name,) if self._names_of is None or name is not None else tuple(self._names_of(entry))
        self._added |= self._checked(dict.fromkeys(map(str, names), entry), self._known())
        return entry

    def find(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            ConfigError: If there is none, or if it cannot be imported.
        """
        if name not in self:
            raise ConfigError(f"{self.kind}: must be one of {', '.join(self.names())}, got {name!r}")
        found: Any = self._known()[name]
        return self._load(found) if isinstance(found, EntryPoint) else found

    def __contains__(self, name: object) -> bool:
        # What other packages bring is looked at for names that are not known without them.
        return name in self._known() or name in self._of_packages()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def known(self) -> tuple[str, ...]:
        """Names that are known without looking at installed packages, or because that was done before."""
        return tuple(self._known())

    def names(self) -> tuple[str, ...]:
        """All names: XPert's own, those of installed packages, those of this process."""
        self._of_packages()
        return tuple(self._known())

    def shipped(self) -> tuple[str, ...]:
        """Names of what comes with XPert."""
        if not self._shipped:
            points = [EntryPoint(name, place, self.group) for name, place in self._places().items()]
            self._shipped = self._by_name(points)
        return tuple(self._shipped)

    def _known(self) -> dict[str, Entry | EntryPoint]:
        self.shipped()
        return self._shipped | (self._installed or {}) | self._added

    def _of_packages(self) -> dict[str, Entry | EntryPoint]:
        if self._installed is None:
            known = self._known()
            # Where the package importlib_metadata is imported, as dask does, these are of its class, not of ours.
            found = sorted((one.name, one.value, one.group) for one in entry_points(group=self.group))
            self._installed = self._checked(self._by_name(EntryPoint(*one) for one in found), known)
        return self._installed

    def _by_name(self, points: Iterable[EntryPoint]) -> dict[str, Entry | EntryPoint]:
        found: dict[str, Entry | EntryPoint] = {}
        for point in points:
            if self._names_of is None:
                found |= self._checked({point.name: point}, found)
            else:
                entry = self._load(point)
                found |= self._checked(dict.fromkeys(self._names_of(entry), entry), found)
        return found

    def _checked(
        self, entries: Mapping[str, Entry | EntryPoint], known: Mapping[str, Entry | EntryPoint]
    ) -> dict[str, Entry | EntryPoint]:
        """The entries, if their names are free.

        Raises:
            ConfigError: If one is taken, or does not look like a name.
        """
        for name, entry in entries.items():
            where = f" ({entry.value} of {self.group})" if isinstance(entry, EntryPoint) else ""
            if not re.fullmatch(self._pattern, name):
                raise ConfigError(f"{self.kind}: a name must match {self._pattern}, got {name!r}{where}")
            if known.get(name, entry) is not entry and not self._registers_itself(name):
                raise ConfigError(f"{self.kind}: the name {name!r} is taken{where}")
        return dict(entries)

    def _registers_itself(self, name: str) -> bool:
        """Whether a name is announced by a module that is imported already: what is registered is what it means."""
        point = (self._installed or {}).get(name)
        return isinstance(point, EntryPoint) and name not in self._added and point.module in sys.modules

    def _load(self, point: EntryPoint) -> Entry:
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.kind}: {point.value} of {self.group} cannot be loaded: {error}") from None


__all__ = ["Registry", "modules_of"]
