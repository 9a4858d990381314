"""How C code is compiled: when it is first used, and into wheels (hatch_build.py). Nothing but Python is needed."""

from __future__ import annotations

import hashlib
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path

HEADER = Path(__file__).with_name("builds.h")
"""What every source includes."""

FLAGS = ("-O3", "-std=gnu11", "-fno-math-errno", "-shared", "-fPIC", "-pthread")

BUILDS = {
    "any": (),
    "avx2": ("-march=haswell",),
    "avx512bw": ("-march=skylake-avx512", "-mprefer-vector-width=512"),
    "avx512vbmi": ("-march=skylake-avx512", "-mavx512vbmi", "-mprefer-vector-width=512"),
}
"""Flags for kinds of processor, of which `best_build` of builds.h names one. Not only Intel's run them, and
`-march=native` is no faster there."""

_TIMEOUT = 120
"""A compiler that takes longer has failed. [s]"""


def build(compiler: str, source: Path, folder: Path, flags: tuple[str, ...]) -> Path:
    """Compile, unless the folder has the result already.

    Processes that do so at the same time do not meet: each writes a file of its own and renames it when whole.

    Raises:
        OSError, subprocess.SubprocessError: If that fails.
    """
    texts = (file.read_text(encoding="utf-8") for file in (source, HEADER))
    parts = (*texts, compiler, *flags, platform.machine())
    path = folder / f"{source.stem}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:20]}.so"
    if _whole(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        fresh = Path(temporary, path.name)
        command = [*shlex.split(compiler), *flags, f"-I{HEADER.parent}", "-o", str(fresh), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT)  # noqa: S603
        with fresh.open("rb+") as file:  # what follows the library's own end does not disturb it
            file.write(hashlib.sha256(file.read()).digest())
        fresh.replace(path)
    return path


def _whole(path: Path) -> bool:
    """Whether a library is what the compiler wrote: loading a damaged one would end the process."""
    if not path.exists():
        return False
    content = path.read_bytes()
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


__all__ = ["BUILDS", "FLAGS", "HEADER", "build"]
