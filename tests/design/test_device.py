"""What a memory cell has by default, and measured tables of states that do or do not fit it."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import CellType, Chip, Device, Technology, load_part, part_names
from xpert.design.chip import CELL_DEFAULTS, CellDefaults
from xpert.errors import ConfigError
from xpert.hardware.gates import on_resistance_n
from xpert.hardware.technology import process_of


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        Device.parse(data, "f.yaml")
    assert str(caught.value).isprintable()
    return str(caught.value)


def table(*means: float) -> dict[str, Any]:
    bits = (len(means) - 1).bit_length()
    return {"cell_bits": bits, "programming_states": [{"mean_us": mean, "sigma_us": 0.1} for mean in means]}


def steps(low: float, high: float, factor: float = 1.0) -> dict[str, Any]:
    return table(*((low + (high - low) * code / 15) * factor for code in range(16)))


# Defaults


@pytest.mark.parametrize("cell", [cell for cell in get_args(CellType) if cell != "mram"])
def test_a_cell_has_the_defaults_of_its_kind(cell: CellType) -> None:
    device = Device(cell=cell)
    assert {name: getattr(device, name) for name in CellDefaults._fields} == CELL_DEFAULTS[cell]._asdict()
    assert device.model_fields_set == {"cell"}
    assert Device.parse(json.loads(device.model_dump_json())) == device
    assert hash(Device.parse(device.model_dump())) == hash(device)


def test_no_device_is_an_rram_cell() -> None:
    assert Device() == Device(cell="rram")
    assert (Device().r_on_ohm, Device().r_off_ohm, Device().programming_sigma) == (20e3, 200e3, 0.05)


@pytest.mark.parametrize("cell", [cell for cell in get_args(CellType) if cell not in {"rram", "mram"}])
def test_other_cells_inherit_neither_spread_nor_resistance_of_rram(cell: CellType) -> None:
    device, rram = Device(cell=cell), Device()
    for name in ("programming_sigma", "r_on_ohm", "r_off_ohm"):
        assert getattr(device, name) != getattr(rram, name)


def test_what_is_given_holds() -> None:
    device = Device(cell="sram", programming_sigma=0.02, r_off_ohm=1e6, cell_width_f=60)
    assert (device.programming_sigma, device.r_off_ohm, device.cell_width_f) == (0.02, 1e6, 60)
    # The kind can be changed afterwards, and what was given stays.
    changed = Device(programming_sigma=0.02).replace(cell="sram")
    assert (changed.programming_sigma, changed.cell_bits, changed.cell_width_f) == (0.02, 1, 28)


def test_an_sram_cell_is_digital() -> None:
    device = Device(cell="sram")
    assert (device.cell_bits, device.programming_sigma, device.drift_nu) == (1, 0, 0)
    assert device.on_off_ratio > 1e6
    assert device.write_voltage_v <= 1.5
    shipped = load_part(Device, "sram-neurosim")
    assert shipped.replace(name=None, source=None) == device
    p = process_of(Technology())
    series = float(on_resistance_n(p, p.feature) + on_resistance_n(p, 2 * p.feature))
    assert device.r_on_ohm == pytest.approx(series, rel=1e-3)


def test_a_wrong_cell_is_one_problem() -> None:
    message = refusal({"cell": "flash"})
    assert message == "f.yaml: cell: Input should be 'rram', 'pcm', 'fefet', 'sram' or 'mram' (got 'flash')"


# Tables of states


def test_the_ends_of_a_table_are_the_resistances() -> None:
    device = Device.parse(steps(1, 90))
    assert device.r_on_ohm == pytest.approx(1e6 / 90)
    assert device.r_off_ohm == pytest.approx(1e6)
    assert "r_on_ohm" not in device.model_fields_set
    assert Device.parse(json.loads(device.model_dump_json())) == device
    # One end alone can be given.
    device = Device.parse(steps(1, 90) | {"r_on_ohm": 11e3})
    assert (device.r_on_ohm, device.r_off_ohm) == pytest.approx((11e3, 1e6))
    # A state that does not conduct.
    assert Device.parse(table(0, 50)).r_off_ohm == 1e12
    assert Device.parse(table(0, 50) | {"cell": "sram"}).r_on_ohm == pytest.approx(20e3)


@given(st.sets(st.integers(1, 99), min_size=2, max_size=2), st.floats(0.2, 5e3), st.floats(0, 0.9))
def test_states_by_any_table(inner: set[int], on: float, off: float) -> None:
    means = [on * (off + (1 - off) * part) for part in (0, *(step / 100 for step in sorted(inner)), 1)]
    device = Device.parse(table(*means))
    assert device.state_conductances_s == pytest.approx([mean * 1e-6 for mean in means])
    assert device.mean_conductance_s == pytest.approx(sum(means) * 1e-6 / 4)
    assert 1 / device.r_on_ohm == pytest.approx(means[-1] * 1e-6)


def test_states_without_a_table_are_even_steps() -> None:
    device = Device(cell_bits=2)
    assert device.state_conductances_s == pytest.approx([5e-6, 20e-6, 35e-6, 50e-6])
    assert device.mean_conductance_s == pytest.approx(27.5e-6)


@pytest.mark.parametrize(("low", "high"), [(5, 50), (5.9, 46), (1, 54), (8, 52)])
def test_tables_that_fit_within_a_tenth_of_the_range(low: float, high: float) -> None:
    assert Device.parse(steps(low, high) | {"r_on_ohm": 20e3, "r_off_ohm": 200e3}).r_on_ohm == 20e3


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            steps(1, 90),
            "programming_states reach 90 uS, 1.8 times the 50 uS of r_on_ohm = 20000: "
            "give r_on_ohm = 11111.1, or leave it out",
        ),
        (
            steps(0.2, 50),
            "programming_states start at 0.2 uS, 0.04 times the 5 uS of r_off_ohm = 200000: "
            "give r_off_ohm = 5e+06, or leave it out",
        ),
        (
            steps(0, 50),
            "programming_states start at 0 uS, 0 times the 5 uS of r_off_ohm = 200000: leave r_off_ohm out",
        ),
        (
            steps(5, 50, 1e-6),
            "programming_states reach 5e-05 uS, 1e-06 times the 50 uS of r_on_ohm = 20000: "
            "if the means are in S, multiply them by 1e+06; else give r_on_ohm = 2e+10, or leave it out",
        ),
        (
            steps(5, 50, 1e-3),
            "programming_states reach 0.05 uS, 0.001 times the 50 uS of r_on_ohm = 20000: "
            "if the means are in mS, multiply them by 1000; else give r_on_ohm = 2e+07, or leave it out",
        ),
        (
            steps(5, 50, 1e3),
            "programming_states reach 50000 uS, 1e+03 times the 50 uS of r_on_ohm = 20000: "
            "if the means are in nS, multiply them by 0.001; else give r_on_ohm = 20, or leave it out",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_the_factor(states: dict[str, Any], message: str) -> None:
    if "start" in message:  # the other end fits
        states = states | {"r_on_ohm": 20e3}
    assert refusal(states | {"r_on_ohm": 20e3, "r_off_ohm": 200e3}) == f"f.yaml: {message}"


@pytest.mark.parametrize(
    ("factor", "hint"),
    [
        (1e-6, "if the means are in S, multiply them by 1e+06; else "),
        (1e-3, "if the means are in mS, multiply them by 1000; else "),
        (1e3, "if the means are in nS, multiply them by 0.001; else "),
    ],
)
def test_a_table_in_another_unit_is_refused_without_resistances(factor: float, hint: str) -> None:
    states = steps(5, 50, factor)
    end = f"{hint}give r_on_ohm and r_off_ohm if this cell is different"
    assert refusal(states) == (
        f"f.yaml: programming_states reach {50 * factor:g} uS, but on states conduct 0.1 to 10000 uS: {end}"
    )
    # Who says that the cell is so may.
    kept = states | {"r_on_ohm": 20e3 / factor, "r_off_ohm": 200e3 / factor}
    assert Device.parse(kept).mean_conductance_s == pytest.approx(27.5e-6 * factor)


@pytest.mark.parametrize("means", [(5, 20, 19, 50), (5, 20, 20, 50), (50, 35, 20, 5)])
def test_states_that_do_not_rise(means: tuple[float, ...]) -> None:
    assert "states must conduct more and more, got" in refusal(table(*means))
    assert "states must conduct more and more, got" in refusal(table(*means) | {"r_on_ohm": 20e3, "r_off_ohm": 200e3})


def test_a_chip_names_the_device() -> None:
    with pytest.raises(ConfigError, match=r"^c: device: programming_states reach 90 uS, 1\.8 times the 50 uS"):
        Chip.parse({"device": steps(5, 90) | {"r_on_ohm": 20e3}}, "c")


# Figures that depend on the state


@pytest.mark.parametrize("field", ["drift_nu", "drift_nu_sigma", "read_noise_1f"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.1, "must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value] (got -0.1)"),
        ("high", "must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value] (got 'high')"),
        ([[0.1, 0.05]], "must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value]"),
        ([[0, 0.05], [1, 0.1]], "must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value]"),
        ([[0.1, 0.05], [1, 1.1]], "must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value]"),
        ([[0.1, 0.05, 0], [1, 0.1]], "must be a number from 0 to 1, or a list of 2 to 64 points [conductance, value]"),
        ([[0.5, 0.05], [0.1, 0.1]], "the conductances of points must rise, got 0.5, 0.1"),
        (True, "must not be true or false"),
    ],
)  # fmt: skip
def test_wrong_points(field: str, value: Any, message: str) -> None:
    assert refusal({field: value}).startswith(f"f.yaml: {field}: {message}")


def test_a_power_law_has_no_zero() -> None:
    assert refusal({"read_noise_1f": [[0.1, 0.05], [1, 0]]}).startswith("f.yaml: read_noise_1f: a power law")


@pytest.mark.parametrize("name", part_names("device"))
def test_shipped_devices_survive_json(name: str) -> None:
    device = load_part(Device, name)
    assert Device.parse(json.loads(device.model_dump_json())) == device
    assert hash(Device.parse(device.model_dump())) == hash(device)
