"""How C code is built and found."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xpert import native
from xpert.analog.native import CODE
from xpert.native.compiler import BUILDS, build

SOURCE = CODE.source
QUICK = ("-O0", "-std=gnu11", "-shared", "-fPIC", "-pthread")

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@needs_compiler
def test_builds_at_the_same_time_give_one_whole_library(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        paths = set(pool.map(lambda _: build("cc", SOURCE, tmp_path, QUICK), range(3)))
    assert list(tmp_path.iterdir()) == list(paths)
    assert CODE.load(paths.pop()).instruction_set()


@needs_compiler
def test_a_damaged_library_is_built_again(tmp_path: Path) -> None:
    path = build("cc", SOURCE, tmp_path, QUICK)
    written = path.stat().st_mtime_ns
    assert build("cc", SOURCE, tmp_path, QUICK) == path
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:1000])
    assert build("cc", SOURCE, tmp_path, QUICK) == path
    assert CODE.load(path).instruction_set()


def test_without_a_compiler_there_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "installed", lambda code: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for compiler, reason in (("no-such-compiler", "no-such-compiler"), ("false", "returned non-zero exit status")):
        monkeypatch.setenv("CC", compiler)
        assert CODE.library() is None
        assert CODE.implementation().startswith("torch: ")
        assert reason in CODE.implementation()


@needs_compiler
def test_a_compiler_that_does_not_know_this_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "FLAGS", QUICK)
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\ncase "$*" in *march*) exit 1;; esac\nexec cc "$@"\n', encoding="utf-8")
    compiler.chmod(0o755)
    library, text = native.compiled(CODE, str(compiler), tmp_path)
    assert library is not None
    assert text == "C: any processor"


def put(folder: Path, *names: str) -> None:
    """What a wheel installs."""
    for name in names:
        source = build("cc", SOURCE, folder / "built", (*QUICK, *BUILDS[name]))
        (folder / f"{SOURCE.stem}-{name}.so").write_bytes(source.read_bytes())


@needs_compiler
def test_an_installed_library_is_the_best_for_this_processor(tmp_path: Path) -> None:
    best = CODE.load(build("cc", SOURCE, tmp_path, QUICK)).best_build().decode()
    put(tmp_path, *dict.fromkeys(("any", best)))
    library = native.installed(CODE, tmp_path)
    assert library is not None
    assert library.instruction_set().decode().removesuffix(" processor") == best


@needs_compiler
def test_an_installed_library_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *BUILDS)
    monkeypatch.setattr(native, "installed", lambda code, of=native.installed: of(code, tmp_path))
    monkeypatch.setattr(native, "compiled", None)
    assert CODE.library() is not None
    assert CODE.implementation().endswith(", as installed")


def test_an_installed_library_of_another_system_is_left_alone(tmp_path: Path) -> None:
    assert native.installed(CODE, tmp_path) is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"{SOURCE.stem}-any.so").write_bytes(b"MZ" + bytes(1000))
    assert native.installed(CODE, tmp_path / "other") is None


@needs_compiler
def test_without_a_cache_the_library_is_built_for_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "FLAGS", QUICK)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "folder", None):
        library, text = native.compiled(CODE, "cc", folder)
        assert library is not None
        assert text.startswith("C: ")


def test_the_c_code_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPERT_NATIVE", "0")
    assert CODE.library() is None
    assert CODE.implementation() == "torch: XPERT_NATIVE=0"


@needs_compiler
def test_a_wheel_without_the_best_build_still_serves(tmp_path: Path) -> None:
    put(tmp_path, "any")
    library = native.installed(CODE, tmp_path)
    assert library is not None
    assert library.instruction_set() == b"any processor"
