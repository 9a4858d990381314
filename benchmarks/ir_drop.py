"""Effective conductances of crossbars with IR drop: `python -m benchmarks.ir_drop [--json]`.

Beside it sparse LU of all nodes (SciPy's SuperLU: factorisation, and one right-hand side per row). CPU seconds of one
thread, median over rounds in which both take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch

from xpert.analog.ir_drop import Wires, _solved

WIRES = Wires(row=2.5, column=0.84, driver=100.0, sense=100.0)


def nodal(conductance: np.ndarray, wires: Wires) -> np.ndarray:
    """Currents into the sense amplifiers for 1 V on one row at a time [rows, columns], from all nodes."""
    rows, columns = conductance.shape
    row, column = np.arange(2 * rows * columns).reshape(2, rows, columns)
    ends = [
        (row[:, :-1], row[:, 1:], np.full((rows, columns - 1), 1 / wires.row)),
        (column[:-1], column[1:], np.full((rows - 1, columns), 1 / wires.column)),
        (row, column, conductance),
    ]
    a, b, g = (np.concatenate([part[i].ravel() for part in ends]) for i in range(3))
    first, foot = 1 / (wires.driver + wires.row), 1 / (wires.sense + wires.column)
    to_ground = np.zeros(2 * rows * columns)
    to_ground[row[:, 0]] = first
    to_ground[column[-1]] = foot
    every = np.arange(len(to_ground))
    values = np.concatenate([g, g, -g, -g, to_ground])
    places = np.concatenate([a, b, a, b, every]), np.concatenate([a, b, b, a, every])
    matrix = scipy.sparse.csc_matrix((values, places))
    driven = np.zeros((len(to_ground), rows))
    driven[row[:, 0], np.arange(rows)] = first
    return scipy.sparse.linalg.splu(matrix).solve(driven)[column[-1]].T * foot


def measure(side: int, crossbars: int, rounds: int) -> dict[str, float]:
    """Seconds per crossbar of side x side cells, both ways, and how far they differ."""
    cells = np.random.default_rng(0).uniform(5e-6, 50e-6, (crossbars, side, side))
    ours, theirs = [], []
    for _ in range(rounds):
        started = time.process_time()
        found = _solved(torch.tensor(cells), WIRES)
        ours.append((time.process_time() - started) / crossbars)
        started = time.process_time()
        expected = nodal(cells[0], WIRES)
        theirs.append(time.process_time() - started)
    return {
        "seconds_per_crossbar": statistics.median(ours),
        "sparse_lu_seconds_per_crossbar": statistics.median(theirs),
        "largest_relative_difference": float(np.abs(found[0].numpy() / expected - 1).max()),
        "least_share_of_the_current": float((expected / cells[0]).min()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over which the median is taken (default 5)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = {f"{side} x {side}": measure(side, 4096 // side // 8, arguments.rounds) for side in (32, 64, 128)}
    if arguments.json:
        print(json.dumps(figures))
        return
    for size, values in figures.items():
        print(size)
        for name, value in values.items():
            print(f"  {name:36} {value:10.3g}")


if __name__ == "__main__":
    main()
