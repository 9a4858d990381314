"""The quickstart's answer beside fair baselines, as a page: `python -m benchmarks.quickstart [--run runs/quickstart]`.

Runs `xpert search --preset quickstart`, or goes on with it, and keeps what it prints: the searched design beside the
typical one, the best homogeneous one and the best single periphery of its own network, the factors of the ratio, every
design in its best tiles, and all of them under variants of the model.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from datetime import date
from pathlib import Path

from xpert.files import write_atomically
from xpert.machine import cores, cpu_name
from xpert.results import Results

PAGE = Path(__file__).parents[1] / "results" / "quickstart.md"


def page(printed: str, results: Results, cpu_seconds: float) -> str:
    """The page of results."""
    stage = results.architecture
    assert stage is not None
    proof = f"Phase 1: EDAP {stage.value:.6g}"
    if stage.lower_bound is not None and stage.value is not None:
        gap = max(0.0, 1 - stage.lower_bound / stage.value)
        proof += ", proven optimal" if gap <= 1e-9 else f", at most {100 * gap:.2g} % above the optimum"
    machine = f"{cores()} cores, {cpu_name()}; {cpu_seconds:.0f} s of CPU time in all"
    return "\n".join(
        [
            "# The quickstart beside fair baselines\n",
            "    python -m benchmarks.quickstart\n",
            f"Date {date.today().isoformat()}, seed 1. Machine: {machine}.",
            f"{proof} among {stage.space_size:.3g} designs.\n",
            "```text",
            printed.strip("\n").replace("\u00a0", " "),
            "```\n",
        ]
    )


def main() -> None:
    """Search, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    command = [sys.executable, "-m", "xpert", "search", "--preset", "quickstart", "--out", str(given.run), "--resume"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (our own command)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line.rstrip() for line in done.stdout.splitlines() if not line.startswith("Report:")]
    results = Results.read(given.run / "results.json", "results file")
    write_atomically(given.page, page("\n".join(lines), results, used.ru_utime + used.ru_stime))
    sys.stdout.write(f"wrote {given.page}\n")


if __name__ == "__main__":
    main()
