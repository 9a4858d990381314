"""Results that several runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from xpert.errors import DataError
from xpert.experiment.cache import StageCache, key_of
from xpert.results import Training


def test_the_same_dependencies_give_the_same_result_and_its_files(tmp_path: Path) -> None:
    cache, calls = StageCache(tmp_path / "cache"), []
    first, second = tmp_path / "a" / "weights", tmp_path / "b" / "weights"
    for file in (first, second):
        file.parent.mkdir()

    def train() -> Training:
        calls.append(1)
        first.write_bytes(b"trained")
        return Training(operations=7.0, seconds=3.0)

    depends = {"seed": 1, "settings": {"epochs": 2}}
    made = cache.get("baseline", depends, Training, train, [first])
    found = cache.get("baseline", {"settings": {"epochs": 2}, "seed": 1}, Training, train, [second])
    assert found == made
    assert second.read_bytes() == b"trained"
    assert len(calls) == 1
    cache.get("baseline", depends | {"seed": 2}, Training, train, [first])
    cache.get("accuracy", depends, Training, train, [first])
    assert len(calls) == 3


def test_a_cut_between_the_files_and_the_result_computes_again(tmp_path: Path) -> None:
    cache, file, calls = StageCache(tmp_path / "cache"), tmp_path / "weights", []

    def train() -> Training:
        calls.append(1)
        file.write_bytes(b"trained")
        return Training(operations=7.0)

    cache.get("baseline", {}, Training, train, [file])
    result = tmp_path / "cache" / f"baseline-{key_of('baseline', {})}.json"
    result.unlink()
    cache.get("baseline", {}, Training, train, [file])
    assert len(calls) == 2
    result.write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        cache.get("baseline", {}, Training, train, [file])
