"""Trainings of a run that several processes share."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.experiment.test_pipeline import TINY
from xpert.errors import ConfigError, RunError
from xpert.experiment import SearchConfig, read_events
from xpert.experiment.pipeline import run_search
from xpert.progress import Progress
from xpert.training import distributed


@pytest.fixture
def config() -> SearchConfig:
    return SearchConfig.parse(TINY)


def children() -> list[int]:
    found = subprocess.run(
        ["/usr/bin/env", "pgrep", "-f", "xpert.experiment.workers", "-P", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line) for line in found.stdout.split()]


def test_two_processes_share_the_trainings(
    config: SearchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They end near where one process ends: batch norm takes other statistics, each of its own share."""
    shares: list[int] = []
    step = "xpert.training.loop._Epochs._step"

    def count_share(self: Any, epoch: int, batch: torch.Tensor, images: torch.Tensor, data_seed: int) -> torch.Tensor:
        shares.append(len(images))
        return original(self, epoch, batch, images, data_seed)

    from xpert.training.loop import _Epochs

    original = _Epochs._step
    monkeypatch.setattr(step, count_share)
    seen: list[int] = []

    def progress(report: Progress) -> None:
        if report.stage == "training":
            seen.extend(children())

    alone, shared = tmp_path / "alone", tmp_path / "shared"
    run_search(config, alone, stop_after="training")
    assert set(shares) == {256}
    shares.clear()
    run_search(config, shared, stop_after="precision", processes=2, progress=progress)
    assert set(shares) == {128}
    assert len(set(seen)) == 1
    assert not children()
    losses = [
        [event["loss"] for event in read_events(run) if event["event"] == "epoch" and event["stage"] == "training"]
        for run in (alone, shared)
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert not list((shared / "state").glob("*.log"))
    assert torch.get_num_threads() == 1
    assert distributed.count() == 1


def test_a_worker_that_stops_is_reported(config: SearchConfig, tmp_path: Path) -> None:
    def kill(report: Progress) -> None:
        if report.stage == "training":
            os.kill(children()[0], signal.SIGKILL)

    with pytest.raises(
        RunError, match=r"a worker process stopped, with exit code -9; what it said is in .*worker1\.log"
    ):
        run_search(config, tmp_path / "run", processes=2, progress=kill)
    assert distributed.count() == 1
    run_search(config, tmp_path / "run", resume=True, stop_after="training")


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "processes: must be at least 1, got 0"), (3, "processes: 3 cannot share batches of 256 images evenly")],
)
def test_numbers_that_cannot_be(config: SearchConfig, tmp_path: Path, count: int, message: str) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match=message):
        run_search(config, run, processes=count)
    assert not run.exists()


def test_what_is_said_and_shared_alone() -> None:
    assert distributed.broadcast_text("näh") == "näh"
    with distributed.own_cores():
        assert torch.get_num_threads() == 1
