"""Banks of cells in imposed widths and heights, on paper."""

from __future__ import annotations

import numpy as np
import pytest

from xpert.design import Technology
from xpert.hardware.circuits.placement import bank, lanes, spread
from xpert.hardware.technology import process_of

P = process_of(Technology())


def test_cells_fill_rows_of_an_imposed_width() -> None:
    # Ten cells of 3 x 2 in a width of 10: three per row, four rows.
    assert bank(P, 10.0, 3.0, 2.0, 10.0, None) == (80.0, 10.0, 8.0)


def test_cells_fill_columns_of_an_imposed_height() -> None:
    # Ten cells of 3 x 2 in a height of 5: two per column, five columns.
    assert bank(P, 10.0, 3.0, 2.0, None, 5.0) == (75.0, 15.0, 5.0)


def test_cells_stand_in_a_row_if_nothing_is_imposed() -> None:
    assert bank(P, 10.0, 3.0, 2.0, None, None) == (60.0, 30.0, 2.0)


def test_what_fits_exactly_fits() -> None:
    unit = 0.1
    assert 3 * unit / unit > 3  # rounding, upwards here
    for count in range(1, 200):
        area, _, height = bank(P, float(count), unit, 1.0, count * unit, None)
        assert height == 1.0
        assert area == pytest.approx(count * unit)


def test_nothing_fits_is_infinite_and_nothing_is_nothing() -> None:
    assert bank(P, 10.0, 3.0, 2.0, 2.0, None)[0] == np.inf
    assert np.array_equal(lanes(np.array([0.0, 4.0, 4.0]), np.array([0.0, 3.0, 0.0])), [0.0, 2.0, np.inf])


def test_a_soft_block_keeps_its_area() -> None:
    assert spread(12.0, 2.0, 4.0, None) == (4.0, 3.0)
    assert spread(12.0, 2.0, None, 4.0) == (3.0, 4.0)
    assert spread(12.0, 2.0, None, None) == (6.0, 2.0)
