"""The noise of a chip's weights, against the formula of docs/analog-model.md, section 3."""

from __future__ import annotations

import numpy as np
import pytest

from xpert.analog import weight_deviation
from xpert.design import Chip, Device


@pytest.mark.parametrize(("weight_bits", "cell_bits"), [(8, 4), (4, 2), (5, 4)])
def test_weights_vary_as_their_cells_do(weight_bits: int, cell_bits: int) -> None:
    device = Device(cell_bits=cell_bits, r_on_ohm=1e4, r_off_ohm=1e5, programming_sigma=0.08)
    chip = Chip(weight_bits=weight_bits, device=device)
    pedestal = (2**cell_bits - 1) / (1e5 / 1e4 - 1)
    codes = np.arange(1, 2**weight_bits)  # offset binary; the first code, of the unused weight, is left out
    slices = [(codes >> low) % 2**cell_bits for low in range(0, weight_bits, cell_bits)]
    expected = 0.08 * np.sqrt(sum((2.0 ** (cell_bits * s) * (pedestal + u)) ** 2 for s, u in enumerate(slices)))
    found = weight_deviation(chip).numpy()
    assert found.shape == (2**weight_bits,)
    np.testing.assert_allclose(found[1:], expected, rtol=0.07)
    assert found[0] == found[1]
    np.testing.assert_allclose((found[1:] / expected).mean(), 1, rtol=0.01)


def test_without_variation_weights_do_not_vary() -> None:
    assert weight_deviation(Chip(device=Device(programming_sigma=0)), draws=8).abs().max() == 0
