"""The machine that computes: what the operating system says of it, where it says anything."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What holds the limit of a control group, of version 2 and 1, as a container sees it."""


def cpu_name() -> str:
    """Name of the processor."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int | None:
    """Number of cores that this process may use; None where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def usual_threads() -> int:
    """On how many threads libraries compute by themselves: what OMP_NUM_THREADS says, else one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else cores() or 1


def peak_memory_mib() -> float | None:
    """Most memory that this process has held; None where the system does not say. [MiB]"""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def memory_bytes() -> int | None:
    """Memory that this process may use: the machine's, or what its control group is held to; None where not known."""
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _MEMORY_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(limit.read_text(encoding="ascii")))
    return min(found, default=None)


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library keep what is freed, for the next step or table, which needs it again.

    By default glibc gives large blocks back to the kernel at once. To fault their pages in again takes 5 to 10 % of a
    training step, and a quarter of filling cost tables. Other C libraries are left alone.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        most_mapped, trim_threshold = -4, -1  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
        mallopt(most_mapped, 0)
        mallopt(trim_threshold, 2**31 - 1)


__all__ = ["cores", "cpu_name", "keep_freed_memory", "memory_bytes", "peak_memory_mib", "usual_threads"]
