"""What holds for every circuit: a batch equals a loop, figures are finite, more instances take more area."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Technology
from xpert.hardware import circuits
from xpert.hardware.adcs.flash import flash_adc, flash_encoder
from xpert.hardware.adcs.sar import sar_adc
from xpert.hardware.circuits import Cost
from xpert.hardware.switches import PHYSICAL, REFERENCE
from xpert.hardware.technology import Process, process_of

NODES = (130, 90, 65, 45, 32, 22, 14, 10, 7)


class Circuit(NamedTuple):
    """A circuit and what its arguments may be. Lengths are in feature sizes and named `*_f`."""

    build: Callable[..., Cost]
    arguments: Mapping[str, st.SearchStrategy[float]]
    grows: str | None = "instances"


def counts(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(float)


def powers(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda k: float(2**k))


def real(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


WIDE = {"width_f": real(1000, 20000)}
TALL = {"height_f": real(500, 5000)}
LINE = {"load": real(1e-16, 1e-12), "load_resistance": real(0, 1e4)}
READ = {"read_voltage": real(0.05, 1.0), "row_activity": real(0, 1)}
ADC = {"bits": counts(2, 9), "instances": counts(1, 64), "r1": real(50, 1e7), "r2": real(50, 1e7), "m": counts(0, 64)}
GRID = {
    "rows": counts(1, 40),
    "columns": counts(1, 40),
    "unit_height": real(1e-6, 1e-3),
    "unit_width": real(1e-6, 1e-3),
}


def columns(r1: Any, r2: Any, m: Any) -> dict[str, Any]:
    resistance = np.stack(np.broadcast_arrays(r1, r2, np.inf), axis=-1)
    multiplicity = np.stack(np.broadcast_arrays(1.0, m, 2.0), axis=-1)
    return {"column_resistance": resistance, "multiplicity": multiplicity}


def converter(adc: Callable[..., Cost]) -> Callable[..., Cost]:
    def build(p: Process, *, r1: Any, r2: Any, m: Any, **rest: Any) -> Cost:
        return adc(p, **rest, **columns(r1, r2, m))

    return build


CIRCUITS: dict[str, Circuit] = {
    "adder": Circuit(circuits.adder, {"bits": counts(2, 32), "instances": counts(1, 500), "load": real(0, 1e-13)}),
    "adder in a width": Circuit(circuits.adder, {"bits": counts(2, 32), "instances": counts(1, 500), **WIDE}),
    "adder_tree": Circuit(
        circuits.adder_tree,
        {"inputs": counts(1, 70), "bits": counts(2, 24), "instances": counts(1, 500), "used": counts(0, 70), **WIDE},
    ),
    "average_pooling": Circuit(
        circuits.average_pooling, {"bits": counts(1, 16), "window": counts(2, 4096), "instances": counts(1, 500)}
    ),
    "bus": Circuit(lambda p, **given: circuits.bus(p, vertical=False, **given), {**GRID, "bits": counts(1, 512)}, None),
    "column_mux": Circuit(
        circuits.column_mux,
        {
            "instances": counts(1, 32),
            "inputs": counts(2, 16),
            "target_resistance": real(50, 1e6),
            "width_f": real(7.7 * 512, 20000),
            "read_voltage": real(0.05, 1.0),
        },
        None,  # rows of pass gates are filled by folding more or less
    ),
    "comparator": Circuit(circuits.comparator, {"bits": counts(1, 16), "load": real(0, 1e-13)}, "bits"),
    "flash_adc": Circuit(
        converter(flash_adc),
        {
            **ADC,
            **WIDE,
            "read_voltage": real(0.05, 1.0),
            "rows": powers(4, 10),
            "r_on": real(1e3, 1e5),
            "r_off": real(2e5, 1e7),
        },
    ),
    "flash_encoder": Circuit(flash_encoder, {"bits": counts(2, 9), "instances": counts(1, 64), **WIDE}),
    "flip_flop_bank": Circuit(circuits.flip_flop_bank, {"instances": counts(1, 5000), "toggling": counts(0, 5000)}),
    "flip_flop_bank in a width": Circuit(circuits.flip_flop_bank, {"instances": counts(1, 5000), **WIDE}),
    "flip_flop_bank in a height": Circuit(circuits.flip_flop_bank, {"instances": counts(1, 5000), **TALL}),
    "h_tree": Circuit(
        circuits.h_tree,
        {**GRID, "bus_bits": counts(1, 2048), "folding": st.sampled_from([4.0, 16.0]), "bits": counts(1, 2048)},
        "bus_bits",
    ),
    "level_shifter": Circuit(
        circuits.level_shifter,
        {"instances": counts(1, 512), "row_activity": real(0, 1), "load": real(0, 1e-12), **WIDE},
    ),
    "max_pooling": Circuit(
        circuits.max_pooling, {"bits": counts(1, 16), "window": counts(2, 16), "instances": counts(1, 500)}
    ),
    "precharger": Circuit(circuits.precharger, {"instances": counts(1, 512), **LINE, **WIDE}),
    "read_write_mux": Circuit(
        circuits.read_write_mux, {"instances": counts(1, 128), **READ, "width_f": real(15.3 * 384, 20000)}, None
    ),
    "register_file": Circuit(
        circuits.register_file, {"capacity_bits": counts(1024, 100000), "line_bits": counts(1, 1024), **WIDE}, None
    ),
    "relu": Circuit(circuits.relu, {"instances": counts(1, 500), "bits": counts(1, 16), **WIDE}),
    "row_decoder": Circuit(
        lambda p, **given: circuits.row_decoder(p, drives_mux=False, **given),
        {"address_bits": counts(1, 20), "load": real(0, 1e-12), **TALL},
        "address_bits",
    ),
    "row_decoder of a mux": Circuit(
        lambda p, **given: circuits.row_decoder(p, drives_mux=True, **given),
        {"address_bits": counts(1, 10), "load": real(0, 1e-12), "load_2": real(0, 1e-12)},
        "address_bits",
    ),
    "row_decoder in a width": Circuit(
        lambda p, **given: circuits.row_decoder(p, column_mode=True, **given),
        {"address_bits": counts(1, 10), "load": real(0, 1e-12), **WIDE},
        "address_bits",
    ),
    "sar_adc": Circuit(converter(sar_adc), {**ADC, **WIDE, "read_voltage": real(0.05, 1.0)}),
    "sense_amplifier": Circuit(
        circuits.sense_amplifier, {"instances": counts(1, 512), "pitch_f": real(10, 60), **WIDE}
    ),
    "shift_add": Circuit(
        circuits.shift_add, {"adder_bits": counts(2, 16), "instances": counts(1, 128), "shifts": counts(1, 16), **WIDE}
    ),
    "sigmoid": Circuit(
        lambda p, **given: circuits.sigmoid(p, cell_width_f=12.0, cell_height_f=4.0, r_on=1e4, r_off=1e6, **given),
        {
            "output_bits": counts(1, 16),
            "entries": counts(2, 64),
            "instances": counts(1, 64),
            "read_voltage": real(0.1, 1),
        },
    ),
    "sram_buffer": Circuit(
        lambda p, **given: circuits.sram_buffer(p, cell_width_f=28.0, cell_height_f=10.0, **given),
        {"capacity_bits": counts(1024, 100000), "line_bits": counts(1, 1024), **WIDE},
        None,
    ),
    "sram_write_driver": Circuit(circuits.sram_write_driver, {"instances": counts(1, 512), **LINE, **WIDE}),
    "switch_matrix of columns": Circuit(
        circuits.switch_matrix,
        {
            "instances": counts(1, 128),
            "target_resistance": real(50, 1e6),
            **READ,
            **LINE,
            "width_f": real(15.3 * 128, 20000),
        },
        None,
    ),
    "switch_matrix of rows": Circuit(
        circuits.switch_matrix,
        {"instances": counts(1, 512), "target_resistance": real(50, 1e6), **READ, **LINE, **TALL},
        None,
    ),
    "wordline_switch_matrix": Circuit(
        circuits.wordline_switch_matrix,
        {"instances": counts(1, 512), "access_gate_voltage": real(0.5, 2), **READ, **LINE, **TALL},
        None,
    ),
}

processes = st.builds(
    lambda node, roadmap, kelvin, switches: process_of(
        Technology(node_nm=node, roadmap=roadmap, temperature_k=kelvin), switches=switches
    ),
    st.sampled_from(NODES),
    st.sampled_from(["LSTP", "HP"]),
    st.sampled_from([300, 345]),
    st.sampled_from([REFERENCE, PHYSICAL]),
)


def build(circuit: Circuit, p: Process, given_arguments: Mapping[str, Any]) -> Cost:
    metres = {
        name.removesuffix("_f"): value * p.feature if name.endswith("_f") else value
        for name, value in given_arguments.items()
    }
    return circuit.build(p, **metres)


def figures(cost: Cost) -> dict[str, Any]:
    return {field.name: getattr(cost, field.name) for field in fields(Cost)}


@pytest.mark.parametrize("name", CIRCUITS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_batch_equals_a_loop_and_is_finite(name: str, data: st.DataObject) -> None:
    circuit, p = CIRCUITS[name], data.draw(processes)
    size = data.draw(st.integers(1, 4))
    designs = {
        key: np.array(data.draw(st.lists(s, min_size=size, max_size=size))) for key, s in circuit.arguments.items()
    }
    batch = figures(build(circuit, p, designs))
    for k in range(size):
        single = figures(build(circuit, p, {key: float(values[k]) for key, values in designs.items()}))
        for key, value in batch.items():
            value = np.broadcast_to(value, size)[k]
            assert value == np.squeeze(single[key]), key
            assert np.isfinite(value), key
            assert value >= 0, key


@pytest.mark.parametrize("name", [name for name, circuit in CIRCUITS.items() if circuit.grows])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_more_of_it_takes_more_area_energy_and_leakage(name: str, data: st.DataObject) -> None:
    circuit, p = CIRCUITS[name], data.draw(processes)
    assert circuit.grows is not None
    arguments = {key: data.draw(strategy) for key, strategy in circuit.arguments.items()}
    few, many = (
        figures(build(circuit, p, arguments | {circuit.grows: factor * arguments[circuit.grows]})) for factor in (1, 2)
    )
    for key in ("area", "energy", "leakage"):
        assert np.all(many[key] >= few[key] * (1 - 1e-12)), key
