"""The machine that computes: what the operating system says of it, where it says anything."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def _cpuinfo() -> Mapping[str, tuple[str, ...]]:
    """Differing values of each field of /proc/cpuinfo, in order; empty off Linux."""
    found: dict[str, dict[str, None]] = {}
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), {})[value.strip()] = None
    return {name: tuple(values) for name, values in found.items()}


def cpu_name() -> str:
    """Name of the processor."""
    return next(iter(_cpuinfo().get("model name", ())), "") or platform.processor() or platform.machine()


def cpu_features() -> str:
    """What code that is compiled for this processor alone depends on."""
    values = [value for name in ("model name", "flags", "Features", "CPU part") for value in _cpuinfo().get(name, ())]
    return "\n".join([platform.machine(), *(values or [platform.processor()])])


def cores() -> int | None:
    """Number of cores that this process may use; None where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def peak_memory_mib() -> float | None:
    """Most memory that this process has held; None where the system does not say. [MiB]"""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


__all__ = ["cores", "cpu_features", "cpu_name", "peak_memory_mib"]
