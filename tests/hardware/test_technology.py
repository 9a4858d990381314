"""Process constants and gates: by hand, as properties, and against the reference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Technology
from xpert.hardware import gates
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import CALIBRATED, UNCALIBRATED, Process, process_of

NODES = (130, 90, 65, 45, 32, 22, 14, 10, 7)
processes = st.builds(
    lambda node, roadmap, kelvin, switches: process_of(
        Technology(node_nm=node, roadmap=roadmap, temperature_k=kelvin), switches=switches
    ),
    st.sampled_from(NODES),
    st.sampled_from(["LSTP", "HP"]),
    st.integers(300, 400),
    st.sampled_from([REFERENCE, PHYSICAL]),
)
widths = st.one_of(st.just(0.0), st.floats(0.5, 60))
"""In feature sizes; 0 is no transistor."""


@pytest.fixture(scope="module")
def p32() -> Process:
    return process_of(Technology(node_nm=32))


def test_constants_of_32_nm_by_hand(p32: Process) -> None:
    assert p32.feature == 32e-9
    assert p32.pn_ratio == pytest.approx(600.2 / 400)
    assert p32.junction_capacitance == pytest.approx(1e-3 / math.sqrt(2))  # supply = built-in potential = 0.9 V
    assert p32.wire_resistance == pytest.approx(3.70e-8 / (56e-9**2 * 1.8))
    assert p32.overlap_capacitance == pytest.approx(0.2 * 8.375279e-10)
    assert p32.cell_height == pytest.approx(28 * 32e-9)


def test_currents_are_linear_between_tabulated_temperatures() -> None:
    at = {k: process_of(Technology(node_nm=32, temperature_k=k)) for k in (300, 303, 310, 400)}
    assert at[300].ion_n == 600.2
    assert at[310].ion_n == 562.8
    assert at[303].ion_n == pytest.approx(0.7 * 600.2 + 0.3 * 562.8)
    assert at[400].ion_n == 333.3
    assert at[303].pn_ratio == at[300].pn_ratio, "sizes are those of the drawn transistors, whatever the temperature"


def test_wires_heat_up(p32: Process) -> None:
    hot = process_of(Technology(node_nm=32, temperature_k=350))
    assert hot.wire_resistance == pytest.approx(p32.wire_resistance * (1 + 0.00451 * 50))


def test_uncalibrated_means_no_correction() -> None:
    assert set(vars(UNCALIBRATED).values()) == {1.0}
    assert CALIBRATED.post_layout_energy == 1.22


def test_nmos_of_32_nm_by_hand(p32: Process) -> None:
    width = 64e-9
    assert gates.effective_width(p32, width) == width
    assert gates.gate_capacitance(p32, width) == pytest.approx((1.2 * 8.375279e-10 + 6.856677e-10) * width)
    assert gates.on_resistance_n(p32, width) == pytest.approx(1.77 * 0.9 / (600.2 * width))
    diffusion = 2.8 * 32e-9
    capacitance = (
        diffusion * width * p32.junction_capacitance
        + (2 * diffusion + width) * p32.sidewall_capacitance
        + width * p32.drain_to_channel_capacitance
    )
    assert gates.drain_capacitance(p32, width, 0.0) == pytest.approx(capacitance)


def test_folded_nmos_by_hand(p32: Process) -> None:
    """Twice the room of a cell: two folds, three poly pitches, two drain regions."""
    room = (28 - 3.6) * 32e-9
    built = gates.gate(p32, "inv", 1.0, 2 * room, 0.0)
    assert built.width == pytest.approx(3 * 3.8 * 32e-9)
    diffusion = 2 * 2.8 * 32e-9  # ceil(3 / 2) drains
    capacitance = (
        diffusion * room * p32.junction_capacitance
        + (2 * diffusion + room) * p32.sidewall_capacitance
        + 2 * room * p32.drain_to_channel_capacitance
    )
    assert built.output_capacitance == pytest.approx(capacitance)


def test_fins_are_counted() -> None:
    p = process_of(Technology(node_nm=14))
    fin = 2 * 37e-9 + 8e-9
    assert gates.effective_width(p, 2 * 14e-9) == pytest.approx(fin)
    assert gates.effective_width(p, 2.1 * 14e-9) == pytest.approx(2 * fin)
    assert gates.effective_width(p, 12 * 14e-9) == pytest.approx(6 * fin)
    assert gates.effective_width(p, 0.0) == 0


def test_finfet_cells_are_taller_and_fold_exactly_unless_the_reference_is_asked_for() -> None:
    right = process_of(Technology(node_nm=14))
    reference = process_of(Technology(node_nm=14), switches=REFERENCE)
    assert right.cell_height == pytest.approx(reference.cell_height * 34 / 28)
    width = 2 * 14e-9 * 10  # ten fins, seven fit: two folds, where the reference counts one
    at = 28 * 14e-9
    folded = gates.gate(right, "inv", 1.0, width, 0.0, at)
    unfolded = gates.gate(reference, "inv", 1.0, width, 0.0, at)
    assert folded.width == pytest.approx(unfolded.width * 3 / 2)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("roadmap", ["LSTP", "HP"])
def test_enlarged_gates_fill_their_cell_without_a_fold(node: int, roadmap: str) -> None:
    p = process_of(Technology(node_nm=node, roadmap=roadmap))
    inverter = gates.standard_inverter(p)
    pitch = 5.3 if p.finfet else 3.8
    assert inverter.width == pytest.approx(2 * pitch * p.feature)
    assert inverter.width_n + inverter.width_p > gates.minimum_inverter(p).width_n + gates.minimum_inverter(p).width_p


def test_step_response_is_ln_2() -> None:
    delay, ramp = gates.horowitz(1e-10)
    assert delay == pytest.approx(1e-10 * math.log(2), rel=1e-6)
    assert ramp == pytest.approx(0.5 / delay)


def test_no_load_no_delay() -> None:
    delay, ramp = gates.horowitz(0.0, 1e9)
    assert delay == 0
    assert ramp == gates.STEP


def test_logarithms_are_exact_for_powers_of_two() -> None:
    exponents = np.arange(0, 40, dtype=float)
    assert np.array_equal(gates.ceil_log2(gates.exp2(exponents)), exponents)
    assert np.array_equal(gates.ceil_log2(np.array([1, 2, 3, 4, 5, 8, 9])), [0, 1, 2, 2, 3, 3, 4])


@given(processes, st.floats(1, 60), st.floats(1, 60))
def test_wider_transistors_conduct_and_load_more(p: Process, a: float, b: float) -> None:
    narrow, wide = sorted((a * p.feature, b * p.feature))
    assert gates.on_resistance_n(p, narrow) >= gates.on_resistance_n(p, wide) > 0
    assert gates.on_resistance_p(p, narrow) >= gates.on_resistance_p(p, wide) > 0
    assert 0 < gates.gate_capacitance(p, narrow) <= gates.gate_capacitance(p, wide)


@given(processes, st.floats(1e-14, 1e-8), st.floats(1e-14, 1e-8), st.floats(1e6, 1e20))
def test_delay_grows_with_the_time_constant_and_with_a_slow_input(p: Process, a: float, b: float, ramp: float) -> None:
    fast, slow = sorted((a, b))
    assert gates.horowitz(fast, ramp)[0] <= gates.horowitz(slow, ramp)[0]
    assert gates.horowitz(a, ramp)[0] >= gates.horowitz(a)[0]


@given(
    processes,
    st.sampled_from(["inv", "nand", "nor"]),
    st.lists(st.tuples(st.integers(2, 20), widths, widths, st.floats(12, 80)), min_size=1, max_size=5),
)
def test_a_batch_of_gates_equals_a_loop(p: Process, kind: gates.GateKind, cases: list[tuple[float, ...]]) -> None:
    inputs, n, q, height = (np.array(column, dtype=float) for column in zip(*cases))
    f = p.feature
    batch = gates.gate(p, kind, inputs, n * f, q * f, height * f)
    for k in range(len(cases)):
        single = gates.gate(p, kind, inputs[k], n[k] * f, q[k] * f, height[k] * f)
        for name in ("width", "input_capacitance", "output_capacitance", "leakage_current"):
            value = np.broadcast_to(getattr(batch, name), len(cases))[k]
            assert value == getattr(single, name)
            assert np.isfinite(value)
            assert value >= 0


@given(processes, st.lists(st.tuples(widths, widths), min_size=1, max_size=5))
def test_enlarging_never_shrinks_and_a_batch_equals_a_loop(p: Process, cases: list[tuple[float, float]]) -> None:
    n, q = (np.array(column) * p.feature for column in zip(*cases))
    grown_n, grown_p = gates.enlarge(p, n, q)
    for k in range(len(cases)):
        assert (grown_n[k], grown_p[k]) == gates.enlarge(p, n[k], q[k])
        if not p.finfet:
            assert grown_n[k] >= n[k]
            assert grown_p[k] >= q[k]


def test_process_does_not_depend_on_switches_that_it_does_not_read(p32: Process) -> None:
    other = process_of(Technology(node_nm=32), switches=replace(PHYSICAL, flash_plateau=False))
    assert replace(other, switches=PHYSICAL) == p32
