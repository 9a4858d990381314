"""Effective conductances against paper, every node of the network, and SPICE."""

from __future__ import annotations

import itertools
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analog.nodes import GROUND, resistors, sensed
from xpert.analog import ir_drop
from xpert.analog.ir_drop import Wires, effective_conductance
from xpert.design import Chip

ALL = {"row": 2.0, "column": 0.7, "driver": 300.0, "sense": 120.0, "access": 900.0}


def cells(seed: int, *shape: int) -> np.ndarray:
    """Conductances between 5 and 50 uS."""
    return np.random.default_rng(seed).uniform(5e-6, 50e-6, shape)


def effective(conductance: np.ndarray, **ohm: float) -> np.ndarray:
    return effective_conductance(torch.tensor(conductance), Wires(**ohm)).numpy()


def test_sense_amplifiers_by_hand() -> None:
    # A column of 10 and 30 mS above 25 ohm: its foot is at I * 25 ohm, so I = (10 V1 + 30 V2) mS / (1 + 0.04 * 25).
    found = effective(np.array([[0.01, 0.02], [0.03, 0.06]]), row=0.0, column=0.0, sense=25.0)
    np.testing.assert_allclose(found, [[0.005, 0.02 / 3], [0.015, 0.02]], rtol=1e-14)


def test_drivers_by_hand() -> None:
    # A row of 10 and 30 mS behind 25 ohm gets half of the voltage.
    found = effective(np.array([[0.01, 0.03], [0.02, 0.06]]), row=0.0, column=0.0, driver=25.0)
    np.testing.assert_allclose(found, [[0.005, 0.015], [0.02 / 3, 0.02]], rtol=1e-14)


def test_one_row_of_two_cells_by_hand() -> None:
    # 1 S cells, 1 ohm wires. Far branch: wire, cell and foot, 3 ohm; near branch: 2 ohm; together 1.2 ohm,
    # behind 1 ohm of wire: 1/2.2 A, of which 1.2/2 flow near and 1.2/3 far.
    found = effective(np.array([[1.0, 1.0]]), row=1.0, column=1.0)
    np.testing.assert_allclose(found, [[0.6 / 2.2, 0.4 / 2.2]], rtol=1e-14)


def test_two_by_two_by_hand() -> None:
    # 1 S cells, 1 ohm in the column wires alone, 1 V on the upper row. In a column with nodes a above b:
    # (1 - a) = (a - b) and (a - b) - b = b, so a = 3 b = 3/5 and the foot draws 1/5 A. On the lower row:
    # a = b - a and (1 - b) = (b - a) + b, so b = 2 a = 2/5: the foot draws 2/5 A.
    found = effective(np.ones((2, 2)), row=0.0, column=1.0)
    np.testing.assert_allclose(found, [[0.2, 0.2], [0.4, 0.4]], rtol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (12, 12), (20, 9), (9, 20)])
@pytest.mark.parametrize(
    "ohm", [ALL, {**ALL, "access": 0.0, "driver": 0.0, "sense": 0.0}, {**ALL, "row": 50.0, "column": 80.0}]
)
def test_the_effective_matrix_is_the_nodal_solution(shape: tuple[int, int], ohm: dict[str, float]) -> None:
    conductance = cells(1, *shape)
    np.testing.assert_allclose(effective(conductance, **ohm), sensed(conductance, **ohm), rtol=1e-12)


def test_a_whole_crossbar_to_rounding() -> None:
    conductance = cells(2, 64, 64)
    found = effective(conductance, **ALL)
    np.testing.assert_allclose(found, sensed(conductance, **ALL), rtol=3e-12)
    assert 0.4 < (found / conductance).min() < 0.5


def test_cells_that_are_not_there() -> None:
    conductance = cells(3, 6, 8)
    conductance[:, 5:] = 0
    found = effective(conductance, **ALL)
    assert (found[:, 5:] == 0).all()
    np.testing.assert_allclose(found[:, :5], effective(conductance[:, :5], **ALL), rtol=1e-12)
    conductance[2, 1] = 0
    np.testing.assert_allclose(effective(conductance, **ALL), sensed(conductance, **ALL), rtol=1e-12, atol=1e-20)


def test_without_resistances_nothing_changes() -> None:
    conductance = cells(4, 5, 6)
    np.testing.assert_allclose(effective(conductance, row=0.0, column=0.0), conductance, rtol=1e-14)


@pytest.mark.parametrize("name", ["row", "column", "driver", "sense"])
def test_wires_far_worse_than_cells(name: str) -> None:
    # Products of what pieces of wire pass on lie beyond the range of numbers here.
    conductance = 1e3 * cells(9, 40, 40)
    found = effective(conductance, **{**ALL, name: 1e12})
    assert (found >= 0).all()
    assert 0 < found.sum() < 40 / 1e12 * (1 if name in ("row", "column") else 40)


def test_a_batch_is_its_crossbars() -> None:
    conductance = cells(5, 2, 3, 6, 7)
    together = effective(conductance, **ALL)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(together[place], effective(conductance[place], **ALL), rtol=1e-13)
    assert effective(conductance[:0], **ALL).shape == (0, 3, 6, 7)


def test_crossbars_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = []
    solve = ir_drop._solved
    monkeypatch.setattr(ir_drop, "_solved", lambda *arguments: solved.append(1) or solve(*arguments))
    monkeypatch.setattr(ir_drop, "_CACHE", ir_drop._SolvedCrossbars())
    monkeypatch.setattr(ir_drop, "_CACHE_BYTES", 2 * 8 * 30)
    conductance = cells(8, 5, 6)
    first = effective(conductance, **ALL)
    assert np.array_equal(effective(conductance, **ALL), first)
    assert len(solved) == 1
    conductance[0, 0] *= 1 + 1e-15
    effective(conductance, **ALL)
    effective(cells(8, 5, 6), **{**ALL, "row": 1.0})  # forgets the first
    assert len(solved) == 3
    assert np.array_equal(effective(cells(8, 5, 6), **ALL), first)
    assert len(solved) == 4


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 8), st.sampled_from(sorted(ALL)))
def test_more_resistance_takes_more(seed: int, rows: int, columns: int, name: str) -> None:
    conductance = cells(seed, rows, columns)
    total = [effective(conductance, **{**ALL, name: ALL[name] * factor}).sum() for factor in (0, 0.5, 1, 10)]
    assert all(more < less for less, more in itertools.pairwise(total))
    assert (effective(conductance, **ALL) < conductance).all()


NGSPICE = shutil.which("ngspice")


@pytest.mark.skipif(NGSPICE is None, reason="ngspice is not installed (Debian package ngspice)")
def test_against_spice(tmp_path: Path) -> None:
    conductance = cells(6, 12, 10)
    voltages = np.random.default_rng(7).integers(0, 2, 12) * 0.5
    lines = ["crossbar"]

    def name(node: tuple[str, int, int] | str) -> str:
        return "0" if node == GROUND else "_".join(map(str, node))

    # The last piece of every column carries its current; a source of 0 V in series measures it.
    feet = itertools.count()
    for number, (a, b, ohm) in enumerate(resistors(conductance, **ALL)):
        foot = f"foot_{next(feet)}" if b == GROUND else name(b)
        lines.append(f"R{number} {name(a)} {foot} {float(ohm)!r}")
    lines += [f"Vfoot{j} foot_{j} 0 0" for j in range(10)]
    lines += [f"Vdriver{i} driver_{i}_0 0 {float(voltage)!r}" for i, voltage in enumerate(voltages)]
    lines += [".options reltol=1e-12 abstol=1e-20", ".control", "set numdgt=15", "op"]
    lines += [f"print i(Vfoot{j})" for j in range(10)]
    lines += [".endc", ".end"]
    deck = tmp_path / "crossbar.cir"
    deck.write_text("\n".join(lines) + "\n")
    run = subprocess.run([str(NGSPICE), "-b", str(deck)], capture_output=True, text=True, timeout=60)
    found = [float(line.split("=")[1]) for line in run.stdout.splitlines() if line.startswith("i(vfoot")]
    assert len(found) == 10, run.stdout + run.stderr
    np.testing.assert_allclose(found, voltages @ effective(conductance, **ALL), rtol=1e-9)


def test_wires_are_as_long_as_cells() -> None:
    # 32 nm: 56 nm wide, 1.8 times as thick, 37 nohm m: 6.55 ohm/um; cells of 12 x 4 F.
    per_micron = 3.70e-8 / (56e-9**2 * 1.8) * 1e-6
    wires = Wires.of(Chip.parse({"analog": {"driver_ohm": 5, "sense_ohm": 7}, "device": {"access_resistance_ohm": 9}}))
    assert math.isclose(wires.row, 12 * 0.032 * per_micron, rel_tol=1e-9)
    assert math.isclose(wires.column, 4 * 0.032 * per_micron, rel_tol=1e-9)
    assert (wires.driver, wires.sense, wires.access) == (5, 7, 9)
    dense = Wires.of(Chip.parse({"device": {"access": "crosspoint", "cell_width_f": 2, "cell_height_f": 3}}))
    assert math.isclose(dense.row, 2 * 0.056 * per_micron, rel_tol=1e-9)
    assert math.isclose(dense.column, 3 * 0.056 * per_micron, rel_tol=1e-9)
    own = Wires.of(Chip.parse({"analog": {"row_wire_ohm": 1.5, "column_wire_ohm": 0}}))
    assert (own.row, own.column) == (1.5, 0)
