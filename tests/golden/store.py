"""Golden files: how records are kept, and how one is compared with what is computed today."""

from __future__ import annotations

import gzip
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert import __version__

DATA = Path(__file__).parent / "data"

_PLAIN_BYTES = 300_000
"""Largest file that is kept as plain JSON, whose changes git can show; larger ones are compressed."""


@dataclass(frozen=True)
class Kind:
    """Records of one kind, which share a file."""

    name: str
    """Name of the file, without its ending."""

    about: str
    """What computes the records, and what they hold."""

    inputs: Callable[[], Mapping[str, Any]]
    """Plain data from which each record is computed, by the record's name."""

    compute: Callable[[Any], Any]
    """From an input to the record: plain data."""

    elsewhere: float | None = None
    """Relative tolerance with another processor or other libraries than those of the file; None: not compared there."""

    drawn: bool = False
    """Whether inputs are random. Those in the file then stay, whatever becomes of the generator."""

    shared: bool = False
    """Whether the reference data that lie beside the project are needed."""


def machine() -> dict[str, str]:
    """What the last bits of floating-point results depend on. The same machine gives the same bits."""
    libraries = {name: metadata.version(name) for name in ("numpy", "scipy", "torch")}
    return libraries | {"processor": _processor(), "instructions": torch.backends.cpu.get_cpu_capability()}


def _processor() -> str:
    """Maker, family and model of the processor where Linux tells; names alone can be those of several generations."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return " ".join(found[key] for key in ("vendor_id", "cpu family", "model", "model name") if key in found)


def path_of(name: str) -> Path | None:
    """The file of a kind, if there is one."""
    return next((path for path in (DATA / f"{name}.json", DATA / f"{name}.json.gz") if path.exists()), None)


def names_on_disk() -> list[str]:
    """What the files in the folder are called, without their endings."""
    return sorted(path.name.removesuffix(".gz").removesuffix(".json") for path in DATA.iterdir())


def load(name: str) -> dict[str, Any] | None:
    """The content of a kind's file; None where it is absent."""
    path = path_of(name)
    if path is None:
        return None
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def dumped(content: Mapping[str, Any]) -> str:
    """The text of a file: a line for each record, so that a change shows where it is."""
    records = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(record, allow_nan=False)}" for name, record in content["records"].items()
    )
    rest = json.dumps({key: value for key, value in content.items() if key != "records"}, indent=1, allow_nan=False)
    return f'{rest[:-2]},\n "records": {{\n{records}\n }}\n}}\n'


def record(kind: Kind) -> Path:
    """Compute all records of a kind and write its file."""
    kept = load(kind.name)
    inputs = kind.inputs() if kept is None or not kind.drawn else recorded(kept, "input")
    content = {
        "kind": kind.name,
        "origin": {"about": kind.about, "xpert": __version__, "python": platform.python_version()} | machine(),
        "tolerance": 0,
        "tolerance_elsewhere": kind.elsewhere,
        "records": {name: {"input": given, "output": kind.compute(given)} for name, given in inputs.items()},
    }
    data = dumped(content).encode()
    old = path_of(kind.name)
    if old is not None:
        old.unlink()
    compressed = len(data) > _PLAIN_BYTES
    path = DATA / f"{kind.name}.json{'.gz' if compressed else ''}"
    path.write_bytes(gzip.compress(data, mtime=0) if compressed else data)
    return path


def recorded(content: Mapping[str, Any], part: str) -> dict[str, Any]:
    """One part, `input` or `output`, of all records of a file."""
    return {name: entry[part] for name, entry in content["records"].items()}


def same_machine(content: Mapping[str, Any]) -> bool:
    """Whether a file was made where the same computation gives the same bits."""
    return all(content["origin"][key] == value for key, value in machine().items())


def plain(value: Any) -> Any:
    """The value as it comes back from JSON, which keeps every float to the bit."""
    return json.loads(json.dumps(value, allow_nan=False))


def differences(old: Any, new: Any, tolerance: float = 0.0, place: str = "") -> Iterator[str]:
    """Where two pieces of plain data differ, a line for each place.

    Args:
        old: What is recorded.
        new: What is computed now.
        tolerance: Largest relative difference of floats; 0 is to the bit.
        place: Where in the record they are.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            where = f"{place}.{key}".lstrip(".")
            if key not in new or key not in old:
                yield f"{where}: {'is gone' if key in old else 'is new'}"
            else:
                yield from differences(old[key], new[key], tolerance, where)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}: {len(old)} entries recorded, {len(new)} now"
        for index, (before, now) in enumerate(zip(old, new)):
            yield from differences(before, now, tolerance, f"{place}[{index}]")
    elif not _same(old, new, tolerance):
        yield f"{place}: {old!r} recorded, {new!r} now"


def _same(old: Any, new: Any, tolerance: float) -> bool:
    if type(old) is not type(new):
        return False
    if isinstance(old, float) and tolerance:
        return bool(np.isclose(new, old, rtol=tolerance, atol=0.0))
    return repr(old) == repr(new)  # unlike ==, tells 0.0 from -0.0
