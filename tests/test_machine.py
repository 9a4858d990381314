"""What the operating system says of the machine, and what is said where it says nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xpert import machine

POSIX_ONLY = ("fcntl", "grp", "posix_ipc", "pwd", "resource", "termios")


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in for /proc/cpuinfo, which does not exist yet."""
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    machine._cpuinfo.cache_clear()
    yield tmp_path / "cpuinfo"
    machine._cpuinfo.cache_clear()


def test_the_processor_by_its_name(cpuinfo: Path) -> None:
    cpuinfo.write_text("model name\t: Fast 1\nflags\t: a b\n\nmodel name\t: Fast 1\nflags\t: a b\n")
    assert machine.cpu_name() == "Fast 1"
    assert machine.cpu_features().splitlines()[1:] == ["Fast 1", "a b"]


def test_two_kinds_of_core_both_count(cpuinfo: Path) -> None:
    cpuinfo.write_text("CPU part : 1\n\nCPU part : 2\n")
    assert machine.cpu_features().splitlines()[1:] == ["1", "2"]


def test_a_system_without_cpuinfo(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "processor", lambda: "of a kind")
    assert not cpuinfo.exists()
    assert machine.cpu_name() == "of a kind"
    assert machine.cpu_features().splitlines()[1:] == ["of a kind"]


def test_cores_and_memory_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.cores() or 0) >= 1
    assert 10 < (machine.peak_memory_mib() or 0) < 1 << 20
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_memory_mib() is None


def test_all_is_imported_where_modules_of_posix_are_missing() -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({POSIX_ONLY}))\nimport xpert.cli.commands, xpert.experiment.run"
    )
    code += "\nfrom xpert import analog, experiment, machine, training\nimport xpert.experiment.pipeline"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
