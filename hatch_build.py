"""Puts the C code into wheels, compiled for each kind of processor."""

from __future__ import annotations

import os
import runpy
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILER = "xpert/native/compiler.py"


class CompiledCode(BuildHookInterface):
    """Without a compiler, or in an editable install, the code is compiled where it is used."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the platform that the wheel is for."""
        if version == "editable":
            return
        # By its path: the package itself needs libraries that are not there while a wheel is built.
        code = Path(self.root, "src")
        compiler = runpy.run_path(str(code / COMPILER))
        self._temporary = tempfile.TemporaryDirectory()
        for source in sorted(code.rglob("*.c")):
            for name, flags in compiler["BUILDS"].items():
                try:
                    library = compiler["build"](
                        os.environ.get("CC") or "cc",
                        source,
                        Path(self._temporary.name),
                        (*compiler["FLAGS"], *flags),
                    )
                except (OSError, subprocess.SubprocessError) as error:
                    self.app.display_warning(f"The wheel goes without C code for the processor {name!r}: {error}")
                    if name == "any":  # without which the others are not found
                        break
                else:
                    installed = source.with_name(f"{source.stem}-{name}.so").relative_to(code)
                    build_data["force_include"][str(library)] = installed.as_posix()
        if not build_data["force_include"]:
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data |= {"pure_python": False, "tag": f"py3-none-{platform}"}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clean up."""
        if version != "editable":
            self._temporary.cleanup()
