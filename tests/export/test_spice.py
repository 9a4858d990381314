"""Netlists of crossbars, solved by ngspice and by plain nodal analysis: what the simulation takes for them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from xpert.analog.ir_drop import Wires, effective_conductance
from xpert.export.spice import netlist

WIRES = {
    "all": Wires(2.0, 3.0, driver=100.0, sense=50.0, access=1000.0),
    "no driver": Wires(2.0, 1.5),
    "ideal rows": Wires(0.0, 1.5, driver=20.0),
    "ideal columns": Wires(2.0, 0.0, sense=5.0),
    "ideal": Wires(0.0, 0.0),
}


def crossbar(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Conductances with cells that are not there, and voltages with rows that are not driven."""
    random = np.random.default_rng(seed)
    cells = random.uniform(1e-6, 1e-4, (16, 12))
    cells[3, 4] = np.nan
    cells[:, 7] = 0
    return cells, random.choice([0.0, 0.2], 16)


def expected(cells: np.ndarray, wires: Wires, volts: np.ndarray) -> np.ndarray:
    return effective_conductance(torch.from_numpy(np.nan_to_num(cells)), wires).numpy().T @ volts


def solved(text: str) -> dict[str, float]:
    """Currents into the sources of a netlist of resistors and sources, by modified nodal analysis."""
    parts = [line.split() for line in text.splitlines() if line[0] in "RV"]
    nodes = sorted({node for part in parts for node in part[1:3]} - {"0"})
    place = {node: index for index, node in enumerate(nodes)}
    sources = [part for part in parts if part[0][0] == "V"]
    size = len(nodes) + len(sources)
    matrix, right = np.zeros((size, size)), np.zeros(size)
    for name, a, b, *value in parts:
        ends = [(place[node], sign) for node, sign in ((a, 1), (b, -1)) if node != "0"]
        if name[0] == "R":
            for i, s in ends:
                for j, t in ends:
                    matrix[i, j] += s * t / float(value[0])
        else:
            row = len(nodes) + next(i for i, part in enumerate(sources) if part[0] == name)
            for i, s in ends:
                matrix[i, row] = matrix[row, i] = s
            right[row] = float(value[1])
    found = np.linalg.solve(matrix, right)
    return {part[0]: found[len(nodes) + index] for index, part in enumerate(sources)}


@pytest.mark.parametrize("wires", WIRES.values(), ids=WIRES)
def test_a_netlist_is_the_crossbar_of_the_simulation(wires: Wires) -> None:
    cells, volts = crossbar()
    currents = solved(netlist(cells, wires, volts.tolist()))
    found = np.array([currents[f"Vsense_{column}"] for column in range(cells.shape[1])])
    assert found == pytest.approx(expected(cells, wires, volts), rel=1e-9, abs=1e-18)


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("wires", WIRES.values(), ids=WIRES)
def test_ngspice_finds_the_currents_of_the_simulation(wires: Wires, tmp_path: Path) -> None:
    cells, volts = crossbar(1)
    (tmp_path / "crossbar.sp").write_text(netlist(cells, wires, volts.tolist(), title="two\nlines"))
    done = subprocess.run(["ngspice", "-b", tmp_path / "crossbar.sp"], capture_output=True, text=True, timeout=60)  # noqa: S607
    found = {int(m[1]): float(m[2]) for m in re.finditer(r"^i\(vsense_(\d+)\) = (\S+)", done.stdout, re.MULTILINE)}
    currents = np.array([found[column] for column in range(cells.shape[1])])
    assert currents == pytest.approx(expected(cells, wires, volts), rel=1e-9, abs=1e-15)
