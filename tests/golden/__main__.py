"""Makes golden records anew: `python -m tests.golden [KIND ...]`, all kinds by default."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: sums depend on the number of threads

import xpert
from tests.golden.records import KINDS
from tests.golden.store import record

SOURCE = Path(__file__).parents[2] / "src"

if __name__ == "__main__":
    if not Path(xpert.__file__).is_relative_to(SOURCE):
        sys.exit(f"golden: records are of the code in {SOURCE}, but xpert is {xpert.__file__} (set PYTHONPATH=src)")
    chosen = sys.argv[1:] or list(KINDS)
    if unknown := set(chosen) - set(KINDS):
        sys.exit(f"golden: no kind is called {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    for name in chosen:
        path = record(KINDS[name])
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n")
