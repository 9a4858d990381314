"""The model against reference rows, and files that are not such rows."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from xpert.design import Chip, Periphery, Technology
from xpert.errors import DataError
from xpert.hardware import validate
from xpert.hardware.crossbar import column_resistances, crossbar_of
from xpert.hardware.measured import MAX_BLOCKS, cell_conductances, mean_conductance, measure_reads
from xpert.hardware.pe import read_of
from xpert.hardware.reference.chips import subarray_outputs
from xpert.hardware.subarray import PeripheryArrays, subarray
from xpert.hardware.technology import process_of

ROW = {
    "id": "sub-1",
    "kind": "subarray",
    "inputs": {
        "technology_node_nm": 32, "device_roadmap": "LSTP", "temperature_K": 300, "device": "RRAM_1T1R", "rows": 64,
        "columns": 64, "cell_bits": 1, "weight_bits": 8, "cells_per_weight": 8, "input_bits": 8, "adc_type": "flash",
        "adc_levels": 32, "flash_sensing": "current", "columns_per_adc": 4, "row_activity": 0.3,
        "on_resistance_ohm": 6000.0, "off_resistance_ohm": 900000.0, "flash_reference_on_resistance_ohm": 6000.0,
        "flash_reference_off_resistance_ohm": 900000.0, "read_voltage_V": 0.5, "access_gate_voltage_V": 1.1,
        "write_voltage_V": 2.0, "cell_height_F": 4, "cell_width_F": 12, "relax_cell_to_peripheral_pitch": False,
        "calibrated": True, "module_clock_Hz": 1e9, "column_resistance_ohm": 784.245,
    },
}  # fmt: skip


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row_with(outputs, **more):
    return {**ROW, "outputs": outputs, **more}


def test_errors_are_relative_and_counted(tmp_path):
    right = subarray_outputs(ROW["inputs"])
    area, energy = right["adc_area_m2"], right["read_energy_J"]
    file = write(
        tmp_path / "rows.jsonl",
        row_with({"adc_area_m2": area, "read_energy_J": energy, "read_cycles_other": 0}),
        row_with({"adc_area_m2": area / 1.01, "read_energy_J": None}),
        row_with({"adc_area_m2": area / 0.98, "something_new_m2": 1.0, "leakage_W": 0}),
        row_with({}, kind="xpertsim_network"),
    )
    report = validate(file, tolerance=0.015)
    kind = report.kinds["subarray"]
    assert kind["adc_area_m2"].rows == 3
    assert kind["adc_area_m2"].worst == pytest.approx(0.02)
    assert kind["adc_area_m2"].median == pytest.approx(0.01)
    assert kind["read_energy_J"].rows == 1
    assert kind["read_energy_J"].worst == 0
    assert kind["read_cycles_other"].worst == 0
    assert kind["leakage_W"].worst == 1  # something where there should be nothing
    assert report.rows == 3
    assert report.worst == 1
    assert not report.passed
    left_out = {(entry.kind, entry.quantity): entry.rows for entry in report.not_compared}
    assert left_out == {("subarray", "something_new_m2"): 1, ("xpertsim_network", None): 1}
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["kinds"]["subarray"]["adc_area_m2"].keys() == {"rows", "worst", "median"}
    assert data["not_compared"][0]["reason"]


def test_a_gzipped_file_and_progress(tmp_path):
    right = subarray_outputs(ROW["inputs"])
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(row_with(right)) + "\n\n")
    steps = []
    report = validate(path, progress=lambda report: steps.append((report.done, report.total)))
    assert report.passed
    assert report.worst == 0
    assert len(report.kinds["subarray"]) == len(right)
    assert steps == [(1, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"{", "line 1: not JSON"),
        (b"[1]\n", "line 1: a reference row is an object"),
        (b"[" * 100_000, "line 1: not JSON: nested too deeply"),
        (b'{"id": "a", "kind": "subarray", "inputs": {}}\n', "'outputs' must be an object, it is missing"),
        (b'{"id": 7, "kind": "subarray", "inputs": {}, "outputs": {}}\n', "'id' must be text, got 7"),
        (b'{"id": "a", "kind": "toaster", "inputs": {}, "outputs": {}}\n', "unknown kind 'toaster'"),
        (b'\n{"id": "a", "kind": "chip", "inputs": {}, "outputs": {}}\n', r"line 2 \(a\): inputs: '\w+' is missing"),
        (b"\xff\xfe\x00\x01", "is not text"),
        (gzip.compress(json.dumps({**ROW, "outputs": {}}).encode() + b"\n", mtime=0)[:-20], "is truncated or damaged"),
        (b"\x1f\x8bnot really", "is truncated or damaged"),
    ],
    ids=lambda content: repr(content)[:24],
)
def test_files_that_are_no_reference(content, message, tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        validate(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        validate(tmp_path / "absent.jsonl.gz")
    with pytest.raises(DataError, match="is a folder"):
        validate(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": "many"}, "inputs: not those of a subarray row"),
        ({"device": "flux capacitor"}, "'flux capacitor' is missing or has a value that the model does not know"),
        ({"column_resistance_ohm": ["x"]}, "inputs: not those"),
    ],
)
def test_inputs_that_make_no_sense(change, message, tmp_path):
    file = write(tmp_path / "rows.jsonl", row_with({}, inputs=ROW["inputs"] | change))
    with pytest.raises(DataError, match=message) as caught:
        validate(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"technology_node_nm": 16}, "node_nm must be 7 ... 14 or 22 ... 130, got 16"),
        ({"on_resistance_ohm": 10.0}, "cannot hold the access transistor"),
        ({"temperature_K": 500}, "temperature_k: Input should be less than or equal to 400"),
    ],
)
def test_what_the_model_refuses_to_build_does_not_stop_the_rest(change, reason, tmp_path):
    right = subarray_outputs(ROW["inputs"])
    refused = row_with(right, inputs=ROW["inputs"] | change)
    report = validate(write(tmp_path / "rows.jsonl", refused, row_with(right), refused))
    assert report.rows == 1
    assert report.worst == 0
    (left_out,) = report.not_compared
    assert (left_out.kind, left_out.quantity, left_out.rows) == ("subarray", None, 2)
    assert left_out.reason.startswith("the model refuses this: ")
    assert reason in left_out.reason


def test_a_chip_that_cannot_be(reference_rows, tmp_path):
    row = reference_rows("chip")[0]
    inputs = row["inputs"] | {"pipelined": False, "speed_up_degree": 8}
    report = validate(write(tmp_path / "rows.jsonl", row | {"inputs": inputs}))
    assert report.rows == 0
    assert "pipeline_speed_up is required for execution 'pipelined'" in report.not_compared[0].reason


@pytest.mark.parametrize("output", ["text", {"a": 1}, [1.0, 2.0]])
def test_outputs_that_are_no_numbers(output, tmp_path):
    file = write(tmp_path / "rows.jsonl", row_with({"leakage_W": output}))
    with pytest.raises(DataError, match="outputs: 'leakage_W'"):
        validate(file)


def test_the_reference_itself(reference_rows, tmp_path):
    chips = reference_rows("chip")
    kinds = {(row["inputs"]["novel_mapping"], row["inputs"]["pipelined"], row["inputs"]["device"]) for row in chips}
    assert len(kinds) > 8
    # Every pipelined chip (they have the odd ones), and a share of the others.
    chosen = [row for row in chips if row["inputs"]["pipelined"]] + chips[::6]
    report = validate(write(tmp_path / "chips.jsonl", *chosen), 1e-9)
    assert report.passed, report.worst
    assert not report.not_compared
    assert len(report.kinds["chip"]) == 75
    assert report.rows == len(chosen)


def test_random_inputs_agree_within_what_their_draw_allows(reference_rows, tmp_path):
    rows = [row for row in reference_rows("chip_random") if row["inputs"]["network"] in {"small3", "small5", "conv7"}]
    assert len(rows) > 8
    report = validate(write(tmp_path / "random.jsonl", *rows[::3]), 0.05)
    assert report.passed, report.worst
    assert {entry.quantity for entry in report.not_compared} <= {
        "layer_dynamic_energy_J", "layer_adc_energy_J", "layer_other_energy_J", "layer_mean_subarray_row_activity",
        "layer_mean_column_conductance_S",
    }  # fmt: skip
    assert report.kinds["chip"]["chip_dynamic_energy_J"].rows == len(rows[::3])


# Reads with real weights and inputs


def test_cell_conductances_by_hand():
    crossbar = crossbar_of(Chip())  # two 4-bit cells, 20 and 200 kOhm
    got = cell_conductances(crossbar, np.array([[-1.0, 0.0, 0.5, 1.0]]), 8)
    digits = (got - 1 / 200e3) / (1 / 20e3 - 1 / 200e3) * 15
    # 0 -> 0x00, 128 -> 0x80, 192 -> 0xC0, and 256, which does not fit, -> 0.
    assert digits == pytest.approx(np.array([[0, 0, 8, 0, 12, 0, 0, 0]]), abs=1e-9)


def test_measured_reads_are_those_of_the_columns():
    p, crossbar = process_of(Technology()), crossbar_of(Chip())
    periphery = PeripheryArrays.of([Periphery()])
    cells = np.full((100, 80), 1 / 50e3)
    full, partial = measure_reads(p, crossbar, periphery, cells, np.ones((2, 100)))
    for read, rows in ((full, 64), (partial, 36)):
        plain = [
            read_of(
                subarray(
                    p,
                    crossbar,
                    periphery,
                    row_activity=rows / 64,
                    column_resistance=column_resistances(p, crossbar, cells[:rows, :columns], np.ones((1, rows))),
                    multiplicity=1 / columns,
                )
            )
            for columns in (64, 16)
        ]
        assert read.column_energy == pytest.approx(np.mean([one.column_energy for one in plain]))
        assert read.array_energy == pytest.approx(plain[0].array_energy)
        assert read.sensing_period == pytest.approx(max(np.max(one.sensing_period) for one in plain))
    assert full.array_energy > partial.array_energy


def test_the_mean_conductance_is_that_of_the_columns():
    p, crossbar = process_of(Technology()), crossbar_of(Chip())
    generator = np.random.default_rng(3)
    cells = generator.uniform(1 / 200e3, 1 / 20e3, (2, 100, 80))
    bits = generator.random((2, 50, 100)) < generator.random((2, 1, 100))
    driven, summed = 0.0, 0.0
    for group in range(2):
        for rows in (slice(0, 64), slice(64, 100)):
            driven += bits[group, :, rows].sum() * 80
            for columns in (slice(0, 64), slice(64, 80)):
                block = column_resistances(p, crossbar, cells[group, rows, columns], bits[group, :, rows])
                summed += (1 / block).sum()
    assert mean_conductance(p, crossbar, cells, bits.mean(1)) == pytest.approx(summed / driven)
    # A layer that is never driven has the mean of all its cells.
    never, always = np.zeros((2, 100)), np.ones((2, 100))
    assert mean_conductance(p, crossbar, cells, never) == mean_conductance(p, crossbar, cells, always)


def test_large_layers_are_sampled():
    p, crossbar = process_of(Technology()), crossbar_of(Chip())
    rows = 64 * (MAX_BLOCKS + 40)
    full, _ = measure_reads(
        p, crossbar, PeripheryArrays.of([Periphery()]), np.full((rows, 8), 1e-5), np.ones((1, rows))
    )
    alone, _ = measure_reads(p, crossbar, PeripheryArrays.of([Periphery()]), np.full((64, 8), 1e-5), np.ones((1, 64)))
    assert full.column_energy == pytest.approx(alone.column_energy)
