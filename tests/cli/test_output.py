"""Figures and progress as people see them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import output
from xpert.progress import Progress


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (
            Progress(unit="epoch", done=3, total=10, figures={"loss": 0.51234, "train_accuracy": 0.5, "seconds": 1.5}),
            "epoch 3/10  loss 0.5123  train accuracy 50.0 %",
        ),
        (
            Progress(
                unit="images", done=2, total=9, figures={"ni_accuracy": 0.875, "feasible": False, "adc_bits": [4, 5]}
            ),
            "images 2/9  NI-accuracy 87.5 %  not feasible",
        ),
        (Progress(figures={"what": "NI-accuracy of the baseline"}), "NI-accuracy of the baseline"),
        (Progress(figures={"step": 7, "value": None, "excess": 0.0}), "step 7  excess 0"),
        (Progress(unit="point", done=2), "point 2"),
    ],
)
def test_figures_beside_a_bar(progress: Progress, text: str) -> None:
    assert output.fitting([*output.counted(progress), *output.figures_beside(progress)], 80) == text


def test_words_that_do_not_fit_are_left_out_whole() -> None:
    words = ["epoch 20/20", "loss 0.5436", "train accuracy 50.0 %"]
    assert output.fitting(words, 30) == "epoch 20/20  loss 0.5436"
    assert output.fitting(words, 23) == "epoch 20/20"
    assert output.fitting(words, 5) == ""


def test_rate_and_time_left() -> None:
    pace = output.Pace()

    def words(clock: float, **told: Any) -> list[str]:
        return pace.words(Progress(**{"stage": "training", "unit": "epoch", "total": 10} | told), clock)

    assert words(100.0, done=1) == []
    assert words(101.0, done=2) == []  # too early to say
    assert words(108.0, done=3) == ["4 s each", "28 s left"]
    assert words(109.0, done=10) == ["1/s"]
    # Another count begins anew; one without a total has a rate.
    assert words(110.0, stage="precision", unit="design", total=None, done=5) == []
    assert words(120.0, stage="precision", unit="design", total=None, done=45) == ["4/s"]
    assert words(130.0, stage="precision", unit="", total=None, done=0) == []


def test_no_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as progress:
        assert progress is None
    assert capsys.readouterr() == ("", "")


def test_progress_is_on_stderr_and_stdout_stays_clean(design_file: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "xpert", "evaluate", str(design_file), "--sweep", "rows=64,128", "--json"]
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process:
        os.close(theirs)
        assert process.stdout is not None
        assert [row["rows"] for row in json.loads(process.stdout.read())["sweep"]] == [64, 128]
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    assert b"sweep" in shown
    assert b"design 2/2" in shown
