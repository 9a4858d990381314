"""Against Sandia's CrossSim 3.2 where both mean the same. To run these, put its repository on PYTHONPATH."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xpert.analog import AnalogLayer
from xpert.analog.ir_drop import Wires, effective_conductance
from xpert.design import AnalogSettings, Chip, Device, Periphery
from xpert.networks.quantised import QuantLinear

crosssim = pytest.importorskip("simulator", reason="CrossSim is not here")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("adc_bits", [2, 3, 6])
def test_readings_of_differential_cells(adc_bits: int) -> None:
    """5-bit weights in pairs of 4-bit cells, 4-bit inputs bit by bit, an ADC reading of every bit's column sum."""
    rng = np.random.default_rng(adc_bits + 14)
    weights, codes = rng.integers(-15, 16, (5, 24)), rng.integers(0, 16, (8, 24))
    weights[0, 0] = 15
    layer = QuantLinear(24, 5, bias=False)
    layer.weight.data.copy_(torch.tensor(weights / 15))
    layer.input_clip.data.fill_(15.0)
    chip = Chip(
        weight_bits=5,
        device=Device(cell_bits=4, programming_sigma=0),
        analog=AnalogSettings(encoding="differential", adc_tail=0.01),
    )
    analog = AnalogLayer(layer, chip, Periphery(adc_bits=adc_bits, input_bits=4)).eval()
    analog.calibrate_adcs(torch.tensor(codes[None], dtype=torch.float32))
    ours = analog.accumulate(torch.tensor(codes[None, None])).squeeze().numpy()
    found = analog.adc_range
    # Where a sum lies between two readings, the two round to different sides: no such sums with an odd range.
    assert round(found.steps[0] * (2**adc_bits - 1)) % 2 == 1

    parameters = crosssim.CrossSimParameters()
    core, mapping, xbar = parameters.core, parameters.core.mapping, parameters.xbar
    core.style = type(core.style).BALANCED
    core.rows_max = core.cols_max = 64
    mapping.weights.percentile, mapping.weights.clipping = None, False
    mapping.weights.min, mapping.weights.max = -1.0, 1.0
    mapping.inputs.mvm.min, mapping.inputs.mvm.max = 0.0, 1.0
    xbar.device.Rmin, xbar.device.Rmax = chip.device.r_on_ohm, chip.device.r_off_ohm
    dac, adc = xbar.dac.mvm, xbar.adc.mvm
    dac.model, dac.bits, dac.signed, dac.input_bitslicing, dac.slice_size = "QuantizerDAC", 4, False, True, 1
    adc.model = "QuantizerADC"
    adc = xbar.adc.mvm
    adc.bits, adc.signed, adc.adc_per_ibit = adc_bits, False, True
    # Its column sums are in units of 15 levels over its normalised range of conductance.
    ((low, high),) = found.limits
    unit = xbar.device.Grange_norm / 15
    adc.calibrated_range = [low * unit, high * unit]
    theirs = crosssim.AnalogCore(weights / 15, parameters)
    expected = np.stack([theirs.matvec(code / 15) for code in codes]) * 225
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3)
    assert np.abs(ours - codes @ weights.T).max() > 1


def test_ir_drop() -> None:
    """CrossSim solves one input vector by iteration; without terminal resistances both have the same nodes."""
    array = pytest.importorskip("simulator.circuits.array.NonInterleaved_InputSource")
    array.ComputeBackend(use_gpu=False)
    rng = np.random.default_rng(9)
    conductance, voltages = rng.uniform(5e-6, 50e-6, (16, 12)), rng.integers(0, 2, 16).astype(float)
    solver = array.NoninterleavedInputSourceArray.__new__(array.NoninterleavedInputSourceArray)
    # In units of 1/(50 uS).
    for name, value in {
        "Rp_row_norm": 2.0 * 50e-6,
        "Rp_col_norm": 0.7 * 50e-6,
        "Rp_row_terminal_norm": 0.0,
        "Rp_col_terminal_norm": 0.0,
        "Rp_in_mat": None,
        "Rp_out_mat": None,
        "gamma": 0.9,
        "Verr_th": 1e-10,
        "Niters_max": 1000,
        "useMask": False,
        "nonlinear_IV": False,
        "fast_matmul": False,
        "interleaved": False,
    }.items():
        setattr(solver, name, value)
    theirs = solver.iterative_solve(conductance.T / 50e-6, voltages) * 50e-6
    ours = voltages @ effective_conductance(torch.tensor(conductance), Wires(row=2.0, column=0.7)).numpy()
    np.testing.assert_allclose(theirs, ours, rtol=1e-8)
