"""Atomic writes and plain data."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from xpert.errors import RunError
from xpert.files import copy_atomically, jsonable, write_atomically


def test_writes_text_bytes_and_through_a_function(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", "µ\n")
    write_atomically(tmp_path / "bytes", b"\x00\xff")
    write_atomically(tmp_path / "function", lambda path: path.write_bytes(b"made"))
    assert (tmp_path / "text").read_text(encoding="utf-8") == "µ\n"
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert (tmp_path / "function").read_bytes() == b"made"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bytes", "function", "text"]


def test_has_the_permissions_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    write_atomically(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) & 0o444


def test_a_refusing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"file: cannot write: No space left on device$"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_in_the_writing_function_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def interrupted(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, interrupted)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("place", ["missing/file", "a-file/file", "folder"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match=f"{place}: cannot write"):
        write_atomically(tmp_path / place, "")


def test_jsonable_unpacks_arrays_and_drops_what_json_lacks() -> None:
    data = {
        "array": np.arange(4, dtype=np.int32).reshape(2, 2),
        "scalars": (np.float32(0.5), np.int64(3), np.bool_(True)),
        "not finite": [float("nan"), np.inf, -np.inf, np.array([np.nan, 1.0])],
        "rest": {1: Path("a/b"), "none": None, "text": "µ", "yes": True},
    }
    plain = jsonable(data)
    assert plain == {
        "array": [[0, 1], [2, 3]],
        "scalars": [0.5, 3, True],
        "not finite": [None, None, None, [None, 1.0]],
        "rest": {"1": "a/b", "none": None, "text": "µ", "yes": True},
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_jsonable_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="set has no place in JSON"):
        jsonable({"a": {1, 2}})


def test_a_copy_that_fails_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    copy_atomically(source, target)
    assert target.read_bytes() == b"new"
    with pytest.raises(RunError):
        copy_atomically(tmp_path / "missing", target)
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
