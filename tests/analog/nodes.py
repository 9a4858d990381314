"""Crossbars as networks of resistors, every node of them: what faster ways to the same currents are held to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

GROUND, DRIVER = "ground", "driver"
Node = tuple[str, int, int] | str


def resistors(
    conductance: np.ndarray, *, row: float, column: float, driver: float, sense: float, access: float
) -> Iterator[tuple[Node, Node, float]]:
    """All resistors of a crossbar: two nodes and the resistance in ohm; row i is driven at the node ("driver", i, 0).

    Drivers are at the first column; sense amplifiers, which hold their input at ground, below the last row. Cells that
    conduct nothing are left out.
    """
    rows, columns = conductance.shape
    for i in range(rows):
        yield ("driver", i, 0), ("row", i, 0), driver + row
        for j in range(1, columns):
            yield ("row", i, j - 1), ("row", i, j), row
    for j in range(columns):
        for i in range(rows - 1):
            yield ("column", i, j), ("column", i + 1, j), column
        yield ("column", rows - 1, j), GROUND, column + sense
    for i, j in np.ndindex(rows, columns):
        if conductance[i, j] > 0:
            yield ("row", i, j), ("column", i, j), 1 / conductance[i, j] + access


def sensed(
    conductance: np.ndarray, *, row: float, column: float, driver: float, sense: float, access: float
) -> np.ndarray:
    """Current into each column's sense amplifier for 1 V on one row at a time [rows, columns]. [A]"""
    rows, columns = conductance.shape
    numbers: dict[Node, int] = {}
    for kind in ("row", "column"):
        for i, j in np.ndindex(rows, columns):
            numbers[kind, i, j] = len(numbers)
    entries: dict[tuple[int, int], float] = {}
    driven = np.zeros((len(numbers), rows))

    def add(a: int, b: int, value: float) -> None:
        entries[a, b] = entries.get((a, b), 0.0) + value

    for a, b, ohm in resistors(conductance, row=row, column=column, driver=driver, sense=sense, access=access):
        for one, other in ((a, b), (b, a)):
            if one in numbers:
                add(numbers[one], numbers[one], 1 / ohm)
                if other in numbers:
                    add(numbers[one], numbers[other], -1 / ohm)
                elif other != GROUND:
                    driven[numbers[one], other[1]] = 1 / ohm  # type: ignore[call-overload]
    places = np.array(list(entries))
    matrix = scipy.sparse.csc_matrix((list(entries.values()), (places[:, 0], places[:, 1])))
    voltages = scipy.sparse.linalg.splu(matrix).solve(driven)
    feet = [numbers["column", rows - 1, j] for j in range(columns)]
    return voltages[feet].T / (column + sense)
