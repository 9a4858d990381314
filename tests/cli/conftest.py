"""Running `xpert` as a user does, and in-process where that says the same faster."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from xpert.cli import main
from xpert.experiment import load_preset, typical_design


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


Xpert = Callable[..., Outcome]


@pytest.fixture
def interruptible() -> Callable[[], None]:
    """For a process before it starts: Ctrl-C reaches it even where the tests run in a shell's background."""

    def restore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return restore


@pytest.fixture
def xpert(capsys: pytest.CaptureFixture[str]) -> Xpert:
    """Runs a command in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def process() -> Xpert:
    """Runs a command in a process of its own."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> Outcome:
        command = [sys.executable, "-m", "xpert", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def refusal(xpert: Xpert) -> Callable[..., str]:
    """Runs a command that must be refused, with one line; gives that line without its prefix."""

    def run(*arguments: str | Path) -> str:
        outcome = xpert(*arguments)
        assert outcome.code == 2
        assert outcome.stdout == ""
        assert outcome.stderr.count("\n") == 1
        assert outcome.stderr.startswith("xpert: error: ")
        return outcome.stderr.removeprefix("xpert: error: ").rstrip("\n")

    return run


@pytest.fixture
def design_file(tmp_path: Path) -> Path:
    """The quickstart's typical design."""
    path = tmp_path / "design.json"
    typical_design(load_preset("quickstart")).write(path)
    return path
