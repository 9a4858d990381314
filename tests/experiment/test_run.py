"""The run folder: nothing finished is lost, nothing foreign is touched, one process at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from xpert.errors import ConfigError, RunError
from xpert.experiment import SearchConfig, open_run, read_config, read_events
from xpert.experiment.run import versions
from xpert.machine import usual_threads
from xpert.results import OpenRecord


class Value(OpenRecord):
    """The result of a stage."""

    value: float = 0.0


CONFIG = SearchConfig.parse(
    {"name": "small", "network": {"backbone": "vgg16", "choices": [64, 128]}, "dataset": {"name": "digits"}}
)


def with_changes(**changes: Any) -> SearchConfig:
    return CONFIG.replace(**changes)


def refusal(path: Path, config: SearchConfig | None = CONFIG, *, resume: bool = False) -> str:
    """Why a folder is not opened."""
    with pytest.raises(RunError) as caught, open_run(path, config, resume=resume):
        pass
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(path)) or message.startswith("cannot resume")
    return message


def test_a_new_run_writes_the_resolved_config(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    with open_run(path, CONFIG, resume=False) as run:
        assert run.config == CONFIG.replace(threads=usual_threads())
        assert not run.resumed
    data = yaml.safe_load((path / "config.yaml").read_text())
    assert data["chip"]["buffers"]["tile_core_bits"] == 1024
    assert data["seed"] == 0
    assert data["versions"] == versions()
    assert {"xpert", "python", "torch", "numpy"} <= set(versions())
    assert read_config(path) == CONFIG.replace(versions=versions(), threads=usual_threads())


def test_a_run_goes_on_with_the_threads_that_it_was_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with open_run(tmp_path, CONFIG, resume=False) as run:
        assert run.config.threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for config in (CONFIG, None, CONFIG.replace(threads=3)):
        with open_run(tmp_path, config, resume=True) as run:
            assert run.config.threads == 3
    with (
        pytest.raises(RunError, match="threads was 3, now 2; resume with the old value"),
        open_run(tmp_path, CONFIG.replace(threads=2), resume=True),
    ):
        pass


def test_a_run_of_before_there_was_a_number_of_threads_goes_on(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False):
        pass
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace(f"threads: {usual_threads()}", "threads: null"))
    with open_run(tmp_path, CONFIG.replace(threads=2), resume=True) as run:
        assert run.config.threads == 2


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False) as run:
        assert run.path == tmp_path


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all my work")
    assert refusal(tmp_path) == f"{tmp_path}: is not empty (it holds thesis.tex); give a new or empty folder"
    assert refusal(tmp_path, resume=True) == (
        f"{tmp_path}: no run to resume: it has no config.yaml, but holds thesis.tex"
    )
    assert (tmp_path / "thesis.tex").read_text() == "all my work"


def test_a_second_run_into_the_same_folder_needs_resume(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False):
        pass
    assert refusal(tmp_path) == (
        f"{tmp_path}: holds a run already; add --resume to go on with it, or give another folder"
    )
    with open_run(tmp_path, CONFIG, resume=True) as run:
        assert run.resumed


def test_resume_starts_a_run_where_there_is_none(tmp_path: Path) -> None:
    with open_run(tmp_path / "new", CONFIG, resume=True) as run:
        assert not run.resumed


def test_resume_can_take_the_config_from_the_folder(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", with_changes(seed=7), resume=False):
        pass
    with open_run(tmp_path / "run", None, resume=True) as run:
        assert run.config.seed == 7
    assert "no run folder" in refusal(tmp_path / "none", None, resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"name": "other", "seed": 1}, "name was 'small', now 'other'"),
        ({"chip": CONFIG.chip.replace(rows=128)}, "chip.rows was 64, now 128"),
        (
            {"architecture": CONFIG.architecture.replace(area_budget_mm2=5.0)},
            "architecture.area_budget_mm2 was None, now 5.0",
        ),
    ],
)
def test_resuming_with_another_config_names_the_first_difference(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with open_run(tmp_path, CONFIG, resume=False):
        pass
    assert f"cannot resume with another config: {message};" in refusal(tmp_path, with_changes(**changes), resume=True)


def test_data_may_move_between_runs(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False):
        pass
    moved = with_changes(dataset=CONFIG.dataset.replace(data_dir="/elsewhere"))
    with open_run(tmp_path, moved, resume=True) as run:
        assert run.config.dataset.data_dir == "/elsewhere"
    assert read_config(tmp_path).dataset.data_dir == "/elsewhere"


def test_a_broken_config_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("name: [")
    assert "config.yaml: line 1, column 8: not YAML" in refusal(tmp_path, resume=True)
    with pytest.raises(ConfigError, match=r"config\.yaml: line 1"):
        read_config(tmp_path)


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        assert refusal(path) == f"{path}: cannot make this run folder: a file is in the way"
    assert refusal(Path("/proc/run")).startswith("/proc/run: cannot make this run folder: ")


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False):
        assert refusal(tmp_path, resume=True) == (
            f"{tmp_path}: another xpert (process {os.getpid()}) is working in this run folder"
        )
    with open_run(tmp_path, CONFIG, resume=True):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without_locks)
    assert "cannot lock: No locks available" in refusal(tmp_path)


HOLD = """
import sys, time
from pathlib import Path
from xpert.experiment import load_preset, open_run
from xpert.results import OpenRecord
with open_run(Path(sys.argv[1]), load_preset("quickstart"), resume=False) as run:
    run.stage("first", OpenRecord, lambda: OpenRecord(value=1))
    run.event("first", "done", value=1)
    (run.path / ".design.json.abcd1234").write_text("half a des")
    (run.path / "state" / ".second.json.abcd1234").write_text("{")
    with (run.path / "events.jsonl").open("a") as torn:
        torn.write('{"time": "2026')
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_killed_run_releases_the_folder_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert f"(process {process.pid})" in refusal(path, None, resume=True)
        process.send_signal(signal.SIGKILL)
    assert len(read_events(path)) == 1  # the torn line is left out
    with open_run(path, None, resume=True) as run:
        assert run.resumed
        assert run.done("first")
        assert not run.done("second")
        assert run.result("first", Value).value == 1
        run.event("second", "started")
        assert not list(path.glob(".design*"))
        assert [entry.name for entry in (path / "state").iterdir()] == ["first.json"]
    assert [(event["stage"], event["event"]) for event in read_events(path)] == [
        ("first", "done"),
        ("second", "started"),
    ]


FORK = """
import os, sys, time
from pathlib import Path
from xpert.experiment import load_preset, open_run
with open_run(Path(sys.argv[1]), load_preset("quickstart"), resume=False) as run:
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_does_not_keep_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", FORK, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert "another xpert" in refusal(path, None, resume=True)
            process.kill()
            process.wait()
            with open_run(path, None, resume=True) as run:
                assert run.resumed
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert refusal(tmp_path) == f"{tmp_path}: cannot write in this run folder: Permission denied"


def test_a_lock_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    assert refusal(tmp_path) == f"{tmp_path}: cannot write in this run folder: Is a directory"


@pytest.mark.parametrize("leftovers", [(), (".config.yaml.abcd1234",), ("events.jsonl",)])
def test_a_run_killed_in_its_first_moment_is_no_obstacle(tmp_path: Path, leftovers: tuple[str, ...]) -> None:
    (tmp_path / ".lock").write_text("1")
    (tmp_path / "state").mkdir()
    for name in leftovers:
        (tmp_path / name).touch()
    with open_run(tmp_path, CONFIG, resume=False) as run:
        assert not run.resumed
    assert not (tmp_path / ".config.yaml.abcd1234").exists()


def test_a_stage_is_computed_once_and_always_seen_through_json(tmp_path: Path) -> None:
    calls = []

    def compute() -> OpenRecord:
        calls.append(1)
        return OpenRecord.parse({"tuple": (1, 2), "nan": float("nan"), "number": 0.1 + 0.2})

    with open_run(tmp_path, CONFIG, resume=False) as run:
        first = run.stage("architecture", OpenRecord, compute)
        assert run.stage("architecture", OpenRecord, compute) == first
    with open_run(tmp_path, CONFIG, resume=True) as run:
        assert run.stage("architecture", OpenRecord, compute) == first
    assert first.model_extra == {"tuple": [1, 2], "nan": None, "number": 0.1 + 0.2}
    assert len(calls) == 1


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Value:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_run(tmp_path, CONFIG, resume=False) as run:
        run.stage("architecture", Value, interrupted)
    with open_run(tmp_path, CONFIG, resume=True) as run:
        assert not run.done("architecture")


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_broken_stage_result_is_named(tmp_path: Path, content: str) -> None:
    with open_run(tmp_path, CONFIG, resume=False) as run:
        run.working_file("training.json").write_text(content)
        with pytest.raises(RunError, match=r"state/training\.json.*: not the result of a stage") as caught:
            run.stage("training", Value, Value)
        assert "\n" not in str(caught.value)


def test_events_are_plain_json_with_a_time(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False) as run:
        run.event("training", "epoch", epoch=np.int64(1), loss=float("inf"), path=tmp_path)
        # Not only at the end: a reader sees it at once.
        line = json.loads((tmp_path / "events.jsonl").read_text())
    assert line.pop("time").startswith("20")
    assert line == {"stage": "training", "event": "epoch", "epoch": 1, "loss": None, "path": str(tmp_path)}


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run(tmp_path, CONFIG, resume=False) as run:
        run.stage("architecture", Value, lambda: Value(value=1))
        run.event("architecture", "finished")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_run(tmp_path, CONFIG, resume=True) as run:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"events\.jsonl: cannot write: No space left on device$"):
            run.event("training", "started")
        with pytest.raises(RunError, match=r"training\.json: cannot write: No space left on device$"):
            run.stage("training", Value, lambda: Value(value=2))
        monkeypatch.undo()
    with open_run(tmp_path, CONFIG, resume=True) as run:
        assert run.result("architecture", Value).value == 1
        assert not run.done("training")


def test_an_event_that_fits_only_in_part_is_not_there_at_all(tmp_path: Path) -> None:
    with open_run(tmp_path, CONFIG, resume=False) as run:
        run.event("a", "fits")
        size = (tmp_path / "events.jsonl").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
        try:
            with pytest.raises(RunError, match=r"events\.jsonl: cannot write: "):
                run.event("b", "does not")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        run.event("c", "fits again")
    assert [event["stage"] for event in read_events(tmp_path)] == ["a", "c"]


def test_reading_events_that_are_not_there_or_no_events(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"events\.jsonl: cannot read: No such file or directory"):
        read_events(tmp_path)
    (tmp_path / "events.jsonl").write_text('{"stage": "a"}\nnonsense\n{"torn')
    with pytest.raises(RunError, match=r"events\.jsonl: line 2: not an event"):
        read_events(tmp_path)
