"""Code in C, as installed or compiled when it is first used.

A wheel brings it compiled. Elsewhere it needs a C compiler once (`cc`, or what the environment variable CC names): the
result is kept in the user's cache folder. Without either, or with the environment variable XPERT_NATIVE=0, torch
computes the same; `Code.implementation` says which.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xpert.native.compiler import BUILDS, FLAGS, build


@dataclass(frozen=True, eq=False)
class Code:
    """A C file that becomes a library."""

    source: Path
    """It includes `builds.h`."""

    declare: Callable[[ctypes.CDLL], object]
    """Tells ctypes what the library's functions take and return."""

    def library(self) -> ctypes.CDLL | None:
        """The compiled code, or None where torch computes instead."""
        if _switched_off():
            return None
        return installed(self) or compiled(self, os.environ.get("CC"), cache_folder())[0]

    def implementation(self) -> str:
        """What computes on this machine's CPU, and why if it is not the C code."""
        if _switched_off():
            return "torch: XPERT_NATIVE=0"
        if library := installed(self):
            return f"C: {library.instruction_set().decode()}, as installed"
        return compiled(self, os.environ.get("CC"), cache_folder())[1]

    def load(self, path: Path) -> ctypes.CDLL:
        """A library made of it.

        Raises:
            OSError: If the file is none.
        """
        library = ctypes.CDLL(str(path))
        library.best_build.restype = library.instruction_set.restype = ctypes.c_char_p
        self.declare(library)
        return library


def cache_folder() -> Path | None:
    """Where compiled code is kept; None where the user has no home."""
    return _cache_folder(os.environ.get("XDG_CACHE_HOME"))


@functools.cache
def _cache_folder(of_all_programs: str | None) -> Path | None:
    try:
        return Path(of_all_programs or Path.home() / ".cache") / "xpert"
    except RuntimeError:
        return None


@functools.cache
def installed(code: Code, folder: Path | None = None) -> ctypes.CDLL | None:
    """The library that XPert was installed with, or None; once per process.

    Args:
        code: What it is made of.
        folder: Where it is; unset: beside its source.
    """
    folder = folder or code.source.parent
    try:
        return _best(code, lambda name: folder / f"{code.source.stem}-{name}.so")
    except OSError:  # none there, or not for this system
        return None


def _best(code: Code, path: Callable[[str], Path]) -> ctypes.CDLL:
    """The best of `BUILDS` for this processor, given how to get at each."""
    plain = code.load(path("any"))
    name = plain.best_build().decode()
    try:
        return plain if name == "any" else code.load(path(name))
    except (OSError, subprocess.SubprocessError):  # not every compiler knows every processor
        return plain


@functools.cache
def compiled(code: Code, compiler: str | None, folder: Path | None) -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and what there is to say about it; once per process.

    Args:
        code: What is compiled.
        compiler: Command; None for the system's `cc`.
        folder: Where compiled code is kept; None, or a folder that cannot be written to, keeps nothing.
    """
    compiler = compiler or shutil.which("cc")
    if compiler is None:
        return None, "torch: no C compiler found"
    try:
        library = _kept(code, compiler, folder) or _fresh(code, compiler)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None)
        lines = output.decode(errors="replace").strip().splitlines() if output else []
        return None, f"torch: {lines[0] if lines else error}"
    return library, f"C: {library.instruction_set().decode()}"


def _kept(code: Code, compiler: str, folder: Path | None) -> ctypes.CDLL | None:
    try:
        return None if folder is None else _loaded(code, compiler, folder)
    except OSError:
        return None


def _fresh(code: Code, compiler: str) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        return _loaded(code, compiler, Path(folder))


def _loaded(code: Code, compiler: str, folder: Path) -> ctypes.CDLL:
    return _best(code, lambda name: build(compiler, code.source, folder, (*FLAGS, *BUILDS[name])))


def _switched_off() -> bool:
    return os.environ.get("XPERT_NATIVE") == "0"


__all__ = ["Code", "cache_folder", "compiled", "installed"]
