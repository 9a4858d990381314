"""What the tool computes is what is on record, to the bit; `make golden` makes the records anew."""

from __future__ import annotations

import copy
import gzip
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.golden import store
from tests.golden.records import KINDS

FILES = {name: content for name in KINDS if (content := store.load(name)) is not None}
RECORDS = [(kind, name) for kind, content in FILES.items() for name in content["records"]]


@pytest.mark.parametrize(("kind", "name"), RECORDS, ids=[f"{kind}: {name}" for kind, name in RECORDS])
def test_computes_what_is_on_record(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    if KINDS[kind].shared:
        request.getfixturevalue("shared")  # skips where it is absent
    content = FILES[kind]
    entry = content["records"][name]
    tolerance = content["tolerance"]
    if not store.same_machine(content):
        tolerance = content["tolerance_elsewhere"]
        if tolerance is None:
            made = {key: content["origin"][key] for key in store.machine()}
            pytest.skip(f"golden record of {made}: sums in float32 differ here, {store.machine()}")
    now = store.plain(KINDS[kind].compute(entry["input"]))
    found = list(store.differences(entry["output"], now, tolerance))
    assert not found, f"{len(found)} differences, the first of them:\n" + "\n".join(found[:20])


def test_no_record_is_missing_or_orphaned() -> None:
    assert store.names_on_disk() == sorted(KINDS)
    assert all(content["records"] for content in FILES.values())


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.drawn], ids=lambda kind: kind.name)
def test_records_are_of_the_inputs_in_the_code(kind: store.Kind) -> None:
    assert store.recorded(FILES[kind.name], "input") == store.plain(dict(kind.inputs()))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_files_are_as_written_by_the_command(kind: store.Kind) -> None:
    content = FILES[kind.name]
    assert (content["kind"], content["tolerance"], content["tolerance_elsewhere"]) == (kind.name, 0, kind.elsewhere)
    assert content["origin"]["about"] == kind.about
    path = store.path_of(kind.name)
    assert path is not None
    data = path.read_bytes()
    assert (gzip.decompress(data) if path.suffix == ".gz" else data) == store.dumped(content).encode()


def leaves(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every number, text and null in plain data, with the keys that lead to it."""
    if isinstance(data, dict | list):
        for key, entry in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(entry, (*place, key))
    else:
        yield place, data


def perturbed(value: Any) -> Any:
    """The least change of a value."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    return value + 1 if isinstance(value, int) else value + "?"


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_bit_of_every_value_counts(kind: str) -> None:
    name, entry = next(iter(FILES[kind]["records"].items()))
    record = {name: entry["output"]}
    assert list(store.differences(record, record)) == []
    for place, value in list(leaves(record))[:500]:
        other = copy.deepcopy(record)
        inner = other
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = perturbed(value)
        assert len(list(store.differences(record, other))) == 1, place


def test_what_is_gone_or_new_counts() -> None:
    assert list(store.differences({"a": 1, "b": 2}, {"a": 1, "c": 2})) == ["b: is gone", "c: is new"]
    assert list(store.differences([1.0], [1.0, 2.0])) == [": 1 entries recorded, 2 now"]
    assert list(store.differences({"a": [1, 0.0]}, {"a": [1.0, -0.0]})) == [
        "a[0]: 1 recorded, 1.0 now",
        "a[1]: 0.0 recorded, -0.0 now",
    ]


def test_a_tolerance_is_relative_and_for_floats_alone() -> None:
    assert list(store.differences([1e-9, 3], [1.0000001e-9, 3], 1e-6)) == []
    assert len(list(store.differences([1e-9, 3], [1.00001e-9, 4], 1e-6))) == 2
