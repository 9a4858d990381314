"""What is found by name: XPert's own, what packages bring, what a program registers."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from xpert import registry
from xpert.errors import ConfigError
from xpert.registry import Registry, modules_of

SHIPPED = {"version": "sys:version_info", "missing": "no_such_module:thing"}


def a_registry(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str] | None = None) -> Registry:
    points = [EntryPoint(name, place, "xpert.things") for name, place in (installed or {}).items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "xpert.things" else [])
    return Registry("thing", "xpert.things", lambda: SHIPPED, pattern="[a-z]+")


def test_an_entry_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    things = a_registry(monkeypatch, {"path": "sys:path"})
    assert things.names() == ("version", "missing", "path")
    assert things.find("version") is sys.version_info
    assert things.find("path") is sys.path
    assert things.shipped() == ("version", "missing")
    with pytest.raises(ConfigError, match=r"thing: no_such_module:thing of xpert\.things cannot be loaded: "):
        things.find("missing")


def test_what_a_program_registers_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    things = a_registry(monkeypatch, {"path": "sys:path"})
    entry = object()
    assert things.register(entry, "mine") is entry
    assert things.register(entry, "mine") is entry  # the same again changes nothing
    assert things.names()[-1] == "mine"
    assert things.find("mine") is entry
    for name in ("mine", "version"):
        with pytest.raises(ConfigError, match=f"thing: the name '{name}' is taken"):
            things.register(object(), name)


def test_an_announced_module_may_register_its_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So one file serves a notebook, which imports it, and a package, which announces it."""
    (tmp_path / "a_thing_of_its_own.py").write_text("from here import THINGS\nMINE = THINGS.register([], 'mine')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    things = a_registry(monkeypatch, {"mine": "a_thing_of_its_own:MINE"})
    here = ModuleType("here")
    here.THINGS = things  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "here", here)
    monkeypatch.delitem(sys.modules, "a_thing_of_its_own", raising=False)
    assert "mine" in things.names()
    with pytest.raises(ConfigError, match="the name 'mine' is taken"):  # by a module that nothing imported
        things.register(object(), "mine")
    found = things.find("mine")
    assert found == []
    assert things.find("mine") is found
    with pytest.raises(ConfigError, match="the name 'mine' is taken"):
        things.register(object(), "mine")


def test_names_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"thing: a name must match \[a-z\]\+, got 'Mine'"):
        a_registry(monkeypatch).register(object(), "Mine")
    with pytest.raises(ConfigError, match=r"thing: the name 'version' is taken \(sys:path of xpert.things\)"):
        a_registry(monkeypatch, {"version": "sys:path"}).names()


def test_an_unknown_name_is_answered_with_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="thing: must be one of version, missing, path, got 'luck'"):
        a_registry(monkeypatch, {"path": "sys:path"}).find("luck")


def test_the_modules_of_a_package_are_places() -> None:
    places = modules_of("xpert.training.datasets", "DATASET")
    assert list(places) == ["cifar10", "cifar100", "digits", "imagefolder", "npz", "tinyimagenet"]
    assert places["digits"] == "xpert.training.datasets.digits:DATASET"
