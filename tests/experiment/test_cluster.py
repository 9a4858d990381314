"""Tasks on two workers of this machine, and what happens when one of those concerned stops."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xpert.errors import ConfigError, RunError
from xpert.experiment.cluster import HERE, Engine, engine

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def two() -> Iterator[Engine]:
    home = {path.name for path in Path.home().iterdir()}
    with engine(workers=2) as made:
        yield made
    assert {path.name for path in Path.home().iterdir()} == home


def square(number: int) -> tuple[int, int]:
    time.sleep(0.05)
    return number**2, os.getpid()


def stop_once(log: Path, number: int) -> int:
    """The first task to get here takes its worker along."""
    with log.open("a") as lines:
        lines.write(f"{number}\n")
    if log.read_text().count("\n") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def stop_always() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise ConfigError("sigma: must be at least 0, got -1")


def test_both_workers_work_and_listen_on_loopback(two: Engine) -> None:
    assert (two.size(), two.apart, HERE.apart) == (2, True, False)
    found = dict(two.results(square, [(number,) for number in range(8)]))
    assert {number: result for number, (result, _) in found.items()} == {number: number**2 for number in range(8)}
    processes = {process for _, process in found.values()}
    assert len(processes) == 2
    assert os.getpid() not in processes
    ours = {str(process) for process in (*processes, os.getpid())}
    lines = subprocess.run(["/usr/bin/env", "ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
    listening = [line.split()[3] for line in lines.splitlines() if any(f"pid={one}," in line for one in ours)]
    assert all(address.startswith("127.0.0.1:") for address in listening), listening
    assert not any(address.endswith(":8787") for address in listening), "no dashboard"


def test_the_task_of_a_stopped_worker_is_done_by_another(two: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = dict(two.results(functools.partial(stop_once, log), [(number,) for number in range(6)]))
    assert found == {number: number for number in range(6)}
    assert 7 <= len(log.read_text().splitlines()) <= 9, "what the other one was at is not repeated"


def test_a_task_that_stops_every_worker_is_given_up(two: Engine) -> None:
    with pytest.raises(RunError, match="a task was given up: one worker after the other stopped"):
        list(two.results(stop_always, [()]))
    assert dict(two.results(square, [(3,)]))[0][0] == 9, "others are started"


def test_the_error_of_a_task_is_its_own(two: Engine) -> None:
    with pytest.raises(ConfigError, match=r"^sigma: must be at least 0, got -1$"):
        list(two.results(refuse, [()]))


def test_what_cannot_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.json"
    for workers, cluster, message in (
        (2, "tcp://127.0.0.1:1", "give --workers or --cluster, not both"),
        (0, None, "--workers: must be at least 1, got 0"),
        (None, str(tmp_path / "none.json"), "none.json: no such scheduler file, and no address"),
        (None, str(broken), "broken.json: not a scheduler file: it has no `address`"),
    ):
        broken.write_text(json.dumps({"type": "Scheduler"}))
        with pytest.raises(ConfigError, match=message), engine(workers, cluster):
            pass
    monkeypatch.setattr("xpert.experiment.cluster._SECONDS_TO_CONNECT", 1)
    unreachable = pytest.raises(RunError, match=r"--cluster: cannot reach the scheduler tcp://127.0.0.1:1: ")
    with unreachable, engine(cluster="tcp://127.0.0.1:1"):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    missing = pytest.raises(ConfigError, match=r"--workers: needs dask.distributed: pip install 'xpert-imc\[cluster\]'")
    with missing, engine(workers=2):
        pass


def test_a_scheduler_of_ones_own_comes_and_goes(tmp_path: Path) -> None:
    """Found by its file; a worker that joins late takes part; one line when it is stopped in the midst of a task."""
    file = tmp_path / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([ROOT, *filter(None, sys.path)])}
    start = functools.partial(
        subprocess.Popen,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    dask = [sys.executable, "-m", "dask"]
    worker = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    started = [
        start(
            [*dask, "scheduler", "--scheduler-file", str(file), "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        )
    ]
    try:
        while not file.exists():
            time.sleep(0.1)
            assert started[0].poll() is None
        started.append(start(worker))
        with engine(cluster=str(file)) as made:
            assert made.size() == 1
            started.append(start(worker))
            results = made.results(square, [(number,) for number in range(200)])
            processes = {process for _, (_, process) in results}
            assert len(processes) == 2
            found = made.results(square, [(number,) for number in range(200)])
            next(found)
            started[0].kill()
            with pytest.raises(RunError, match=r"the scheduler .*scheduler\.json is gone; what was finished is kept"):
                list(found)
    finally:
        for process in started:
            process.kill()
            process.wait()
