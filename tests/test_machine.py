"""What the operating system says of the machine, and what is said where it says nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xpert import machine

POSIX_ONLY = ("fcntl", "grp", "posix_ipc", "pwd", "resource", "termios")


def test_the_processor_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.platform, "processor", lambda: "of a kind")
    assert machine.cpu_name() == "of a kind"
    (tmp_path / "cpuinfo").write_text("model name\t: Fast 1\nflags\t: a b\n\nmodel name\t: Fast 1\n")
    assert machine.cpu_name() == "Fast 1"


def test_cores_and_memory_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.cores() or 0) >= 1
    assert 10 < (machine.peak_memory_mib() or 0) < 1 << 20
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_memory_mib() is None


def test_all_is_imported_where_modules_of_posix_are_missing() -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({POSIX_ONLY}))\nimport xpert.cli.app, xpert.experiment.run"
    code += "\nfrom xpert import analog, experiment, machine, training\nimport xpert.experiment.pipeline"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
