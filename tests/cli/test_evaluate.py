"""`xpert evaluate` and `xpert compare`."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.cli.values import sweep_fields, swept
from xpert.design import Activity, Chip, Design, Device, Periphery
from xpert.experiment import load_preset, typical_design
from xpert.experiment.presets import preset_text
from xpert.hardware import PHYSICAL, REFERENCE, evaluate
from xpert.hardware.variants import VARIANTS, variants_of
from xpert.networks import build
from xpert.report import chip_svg
from xpert.training import save_weights

HEADLINE = ("area_mm2", "latency_us", "energy_uj", "edap", "tops_per_watt", "tops_per_mm2")


def figures_of(xpert: Callable, *arguments: str | Path) -> dict[str, Any]:
    outcome = xpert(*arguments, "--json")
    assert outcome.code == 0
    assert outcome.stderr == ""
    assert outcome.stdout.count("\n") == 1
    return json.loads(outcome.stdout)


def test_json_is_the_evaluation(xpert: Callable, design_file: Path) -> None:
    figures = figures_of(xpert, "evaluate", design_file)
    assert figures == json.loads(json.dumps(evaluate(Design.read(design_file)).to_dict()))
    assert set(HEADLINE) | {"layers", "breakdown"} <= set(figures)
    assert figures["edap"] == pytest.approx(figures["area_mm2"] * figures["latency_us"] * figures["energy_uj"])
    assert [layer["name"] for layer in figures["layers"]] == [*(f"conv{n}" for n in range(1, 14)), "linear"]


def test_switches(xpert: Callable, design_file: Path) -> None:
    design = Design.read(design_file)
    physical = figures_of(xpert, "evaluate", design_file, "--switches", "physical")
    reference = figures_of(xpert, "evaluate", design_file, "--switches", "reference")
    assert physical == figures_of(xpert, "evaluate", design_file)
    assert physical["energy_uj"] == evaluate(design, PHYSICAL).energy * 1e6
    assert reference["energy_uj"] == evaluate(design, REFERENCE).energy * 1e6
    assert reference["energy_uj"] != physical["energy_uj"]


def test_variants(xpert: Callable, design_file: Path) -> None:
    design = Design.read(design_file)
    plain, figures = (figures_of(xpert, "evaluate", design_file, *more) for more in ((), ("--variants",)))
    rows = figures.pop("variants")
    assert figures == plain
    assert [row["variant"] for row in rows] == [variant.name for variant in variants_of([design])]
    for row in rows:
        (costs,) = row["costs"].values()
        assert costs["edap"] == pytest.approx(float(VARIANTS[row["variant"]].evaluate(design).edap) * 1e18)
    text = xpert("evaluate", design_file, "--variants").stdout
    assert "Under variants of the model" in text
    assert all(row["variant"] in text for row in rows)
    assert "Under variants of the model" not in xpert("evaluate", design_file).stdout


def test_variants_without_figures_say_why(xpert: Callable, tmp_path: Path, design_file: Path) -> None:
    design = Design.read(design_file)
    modern = design.replace(chip=design.chip.replace(technology={"node_nm": 7}))
    modern.write(tmp_path / "modern.json")
    outcome = xpert("evaluate", tmp_path / "modern.json", "--variants")
    assert outcome.code == 0
    assert "survey-adcs: variant survey-adcs: adcs.0.nodes_nm: the ADC 'survey-sar' is for nodes from 28 to 65 nm" in (
        " ".join(outcome.stdout.split())
    )


def test_variants_of_a_sweep_are_refused(xpert: Callable, design_file: Path) -> None:
    outcome = xpert("evaluate", design_file, "--variants", "--sweep", "adc_type=sar,flash")
    assert outcome.code == 2
    assert "--variants: of one design; leave out --sweep" in outcome.stderr


def test_a_config_stands_for_its_typical_design(xpert: Callable, tmp_path: Path, design_file: Path) -> None:
    (tmp_path / "config.yaml").write_text(preset_text("quickstart"))
    assert figures_of(xpert, "evaluate", tmp_path / "config.yaml") == figures_of(xpert, "evaluate", design_file)


def test_tables_hold_the_figures(xpert: Callable, design_file: Path) -> None:
    outcome = xpert("evaluate", design_file)
    figures = figures_of(xpert, "evaluate", design_file)
    assert outcome.code == 0
    for layer in figures["layers"]:
        line = next(line for line in outcome.stdout.splitlines() if line.strip().startswith(f"{layer['name']} "))
        cells = line.split()
        assert f"{layer['area_mm2']:.4g}" in cells
        assert f"{layer['latency_us']:.4g}" in cells
    for component in figures["breakdown"]["energy_uj"]:
        assert f"\n {component} " in outcome.stdout
    assert f"{figures['area_mm2']:.4g}" in outcome.stdout
    assert not any(line.endswith(" ") for line in outcome.stdout.splitlines())


def test_markup_in_names_is_shown_as_it_is(xpert: Callable, tmp_path: Path) -> None:
    design = typical_design(load_preset("quickstart")).replace(name="[red]my[/red] :fire: design")
    design.write(tmp_path / "d.json")
    assert xpert("evaluate", tmp_path / "d.json").stdout.startswith("[red]my[/red] :fire: design\n")
    assert "[red]my[/red]" in xpert("compare", tmp_path / "d.json", tmp_path / "d.json").stdout


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_line_per_layer(xpert: Callable, design_file: Path, tmp_path: Path) -> None:
    figures = figures_of(xpert, "evaluate", design_file, "--csv", tmp_path / "out.csv")
    lines = read_csv(tmp_path / "out.csv")
    assert len(lines) == 14
    for line, layer in zip(lines, figures["layers"], strict=True):
        assert line["name"] == layer["name"]
        assert float(line["area_mm2"]) == layer["area_mm2"]
        parts = [float(value) for name, value in line.items() if name.startswith("energy_uj.")]
        assert math.isclose(sum(parts), layer["energy_uj"], rel_tol=1e-9)


def test_a_csv_that_cannot_be_written(refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    assert "cannot write" in refusal("evaluate", design_file, "--csv", tmp_path / "none" / "out.csv")


def test_sweep_is_the_cross_product(xpert: Callable, design_file: Path, tmp_path: Path) -> None:
    sweeps = ("--sweep", "adc_type=sar,flash", "--sweep", "columns_per_adc=2,8,32")
    swept = figures_of(xpert, "evaluate", design_file, *sweeps, "--csv", tmp_path / "out.csv")["sweep"]
    assert [(row["adc_type"], row["columns_per_adc"]) for row in swept] == [
        (adc_type, columns) for adc_type in ("sar", "flash") for columns in (2, 8, 32)
    ]
    design = Design.read(design_file)
    for row in swept:
        entry = Periphery(adc_type=row["adc_type"], columns_per_adc=row["columns_per_adc"])
        expected = evaluate(Design.homogeneous(design.network, design.chip, entry)).to_dict()
        assert {key: row[key] for key in HEADLINE} == {key: expected[key] for key in HEADLINE}
    lines = read_csv(tmp_path / "out.csv")
    assert [float(line["edap"]) for line in lines] == [row["edap"] for row in swept]
    table = xpert("evaluate", design_file, *sweeps).stdout
    assert all(f"{row['edap']:.0f}" in table or f"{row['edap']:.3e}" in table for row in swept)


def test_sweep_of_copies(xpert: Callable, design_file: Path, tmp_path: Path) -> None:
    swept = figures_of(xpert, "evaluate", design_file, "--sweep", "copies=null,1,2")["sweep"]
    plain = figures_of(xpert, "evaluate", design_file)
    assert [row["copies"] for row in swept] == [None, 1, 2]
    assert swept[0]["latency_us"] == plain["latency_us"]
    assert swept[1]["latency_us"] > swept[2]["latency_us"] > plain["latency_us"]
    assert "chosen" not in xpert("evaluate", design_file).stdout
    design = Design.read(design_file)
    chosen = design.with_values(("copies",), [(3,), *[(None,)] * (len(design.periphery) - 1)])
    chosen.write(tmp_path / "copies.json")
    assert "chosen" in xpert("evaluate", tmp_path / "copies.json").stdout


def test_sweep_of_precisions_of_weights_and_cells(xpert: Callable, design_file: Path, tmp_path: Path) -> None:
    """In all layers they are what they are of the chip."""
    sweeps = "--sweep", "weight_bits=null,4", "--sweep", "cell_bits=1,2"
    swept = figures_of(xpert, "evaluate", design_file, *sweeps)["sweep"]
    of_chip = "--sweep", "chip.weight_bits=8,4", "--sweep", "device.cell_bits=1,2"
    chips = figures_of(xpert, "evaluate", design_file, *of_chip)["sweep"]
    assert [row["weight_bits"] for row in swept] == [None, None, 4, 4]
    assert [{key: row[key] for key in HEADLINE} for row in swept] == [
        {key: row[key] for key in HEADLINE} for row in chips
    ]
    design = Design.read(design_file)
    chosen = design.with_values(("weight_bits",), [(6,), *[(None,)] * (len(design.periphery) - 1)])
    chosen.write(tmp_path / "bits.json")
    plain, own = (xpert("evaluate", file).stdout for file in (design_file, tmp_path / "bits.json"))
    assert own.count("weight") == plain.count("weight") + 1, "a column of its own"


def test_sweep_of_the_chip(xpert: Callable, design_file: Path) -> None:
    swept = figures_of(xpert, "evaluate", design_file, "--sweep", "rows=64,128", "--sweep", "device.cell_bits=2,4")
    base = figures_of(xpert, "evaluate", design_file)
    rows = {(row["rows"], row["device.cell_bits"]): row for row in swept["sweep"]}
    assert len(rows) == 4
    assert rows[64, 4]["area_mm2"] == base["area_mm2"]
    assert rows[64, 2]["area_mm2"] > base["area_mm2"]
    assert (
        figures_of(xpert, "evaluate", design_file, "--sweep", "cell_bits=2")["sweep"][0]["area_mm2"]
        == (rows[64, 2]["area_mm2"])
    )


def test_a_sweep_over_one_value_that_changes_nothing(xpert: Callable, design_file: Path) -> None:
    base = figures_of(xpert, "evaluate", design_file)
    (row,) = figures_of(xpert, "evaluate", design_file, "--sweep", "clock=layer")["sweep"]
    assert {key: row[key] for key in HEADLINE} == {key: base[key] for key in HEADLINE}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (["rows"], "--sweep: expected NAME=VALUE,VALUE,..., got 'rows'"),
        (["rows="], "--sweep: expected NAME=VALUE,VALUE,..., got 'rows='"),
        (["rows=64,,128"], "--sweep: expected NAME=VALUE,VALUE,..., got 'rows=64,,128'"),
        (["colour=red"], "--sweep: unknown field 'colour'; known are adc_type, columns_per_adc, adc_bits, input_bits,"),
        (["rows=64", "rows=128"], "--sweep: rows stands twice; list all its values once"),
        (["device.cell=pcm", "cell=rram"], "--sweep: cell stands twice; list all its values once"),
        (
            ["weight_bits=2"],
            "--sweep weight_bits=2: periphery.0.cell_bits must not exceed the layer's weight precision",
        ),
        (["rows=many"], "--sweep rows=many: chip.rows: Input should be a valid integer"),
        (["rows=yes"], "--sweep rows=True: chip.rows: must not be true or false"),
        (["rows=7"], "--sweep rows=7: chip.rows: Input should be greater than or equal to 8 (got 7)"),
        (["rows=.nan"], "--sweep rows=nan: chip.rows: Input should be a finite number (got nan)"),
        (["rows=1e400"], "--sweep rows=1e400: chip.rows: Input should be a"),
        (["rows=" + "9" * 5000], "--sweep: rows: values must be numbers or words, got '999"),
        (["rows=[1"], "--sweep: rows: values must be numbers or words, got '[1'"),
        (["adc_type=pipeline"], "--sweep adc_type=pipeline: periphery.0.adc_type must be one of sar, flash"),
        (["columns_per_adc=64", "columns=32"], "--sweep columns_per_adc=64 columns=32: periphery.0.columns_per_adc"),
        ([f"rows={','.join(['64'] * 400)}", f"columns={','.join(['64'] * 400)}"], "--sweep: 160000 combinations; at"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_sweeps(refusal: Callable, design_file: Path, sweep: list[str], message: str) -> None:
    arguments = [argument for text in sweep for argument in ("--sweep", text)]
    assert refusal("evaluate", design_file, *arguments).startswith(message)


def test_every_field_of_periphery_and_chip_can_be_swept() -> None:
    fields = sweep_fields()
    chip = Chip().model_dump()
    leaves = {f"{part}.{name}" for part, values in chip.items() if isinstance(values, dict) for name in values}
    leaves |= {name for name, value in chip.items() if not isinstance(value, dict)}
    # A list of values makes no sense for these; whole parts go by their names.
    leaves -= {"adcs", "device.name", "device.source", "technology.process"}
    leaves |= {"device", "technology"}
    assert leaves | set(Periphery.model_fields) <= set(fields)
    names = [name for name in fields if "." not in name]
    shared = {"weight_bits", "cell_bits"}  # by their own names they are the layers'
    assert len(names) == len(leaves) + len(Periphery.model_fields) - len(shared), "two parts share a field's name"
    assert (fields["weight_bits"], fields["cell_bits"]) == (("periphery", "weight_bits"), ("periphery", "cell_bits"))
    assert (fields["chip.weight_bits"], fields["device.cell_bits"]) == (
        ("chip", "weight_bits"), ("chip", "device", "cell_bits"),
    )  # fmt: skip


def test_a_swept_cell_has_its_own_defaults(tmp_path: Path) -> None:
    network = typical_design(load_preset("quickstart")).network
    design = Design.homogeneous(network, Chip(), Periphery())
    found = [changed.chip.device for _, changed in swept(design, {"cell": ["rram", "pcm", "sram"]})]
    assert found == [Device(cell=cell) for cell in ("rram", "pcm", "sram")]
    (tmp_path / "s.csv").write_text("state,mean_us,sigma_us\n0,1,0\n1,90,0\n")
    sweeps = {"device.cell_bits": [1], "programming_states": [str(tmp_path / "s.csv")]}
    ((_, changed),) = swept(design, sweeps)
    assert (changed.chip.device.r_on_ohm, changed.chip.device.r_off_ohm) == pytest.approx((1e6 / 90, 1e6))
    # What was given holds.
    given = design.replace(chip=Chip(device=Device(r_on_ohm=15e3)))
    ((_, changed),) = swept(given, {"cell": ["pcm"]})
    assert (changed.chip.device.r_on_ohm, changed.chip.device.r_off_ohm) == (15e3, 4e6)


def test_compare(xpert: Callable, design_file: Path, tmp_path: Path) -> None:
    design = Design.read(design_file)
    other = Design.homogeneous(design.network, design.chip, Periphery(adc_type="flash"), name="flash")
    other.write(tmp_path / "other.json")
    (tmp_path / "config.yaml").write_text(preset_text("quickstart"))
    files = [design_file, tmp_path / "other.json", tmp_path / "config.yaml"]
    compared = figures_of(xpert, "compare", *files)
    assert [entry["file"] for entry in compared["designs"]] == [str(file) for file in files]
    assert compared["ratios"][0] == dict.fromkeys(HEADLINE, 1.0)
    assert compared["ratios"][2] == dict.fromkeys(HEADLINE, 1.0)
    expected = evaluate(other).area / evaluate(design).area
    assert compared["ratios"][1]["area_mm2"] == pytest.approx(expected, rel=1e-12)
    assert compared["designs"][1]["area_mm2"] == evaluate(other).area * 1e6
    table = xpert("compare", *files).stdout
    assert "flash" in table
    assert f"{expected:.3g}" in table


def test_compare_takes_a_ratio_apart(xpert: Callable, refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    design = Design.read(design_file)
    other = Design.homogeneous(design.network, design.chip, Periphery(adc_type="flash", input_bits=4), name="flash")
    other.write(tmp_path / "other.json")
    files = [design_file, tmp_path / "other.json"]
    compared = figures_of(xpert, "compare", *files, "--factors")
    shares = {one["name"]: one["edap"] for one in compared["factors"]}
    assert list(shares) == ["network", *Periphery().taken()]
    assert math.prod(shares.values()) == pytest.approx(1 / compared["ratios"][1]["edap"])
    assert "factors" not in figures_of(xpert, "compare", *files)
    table = xpert("compare", *files, "--factors").stdout
    assert f"{shares['input_bits']:.3g}x" in table
    assert refusal("compare", *files, design_file, "--factors") == "compare: --factors needs two designs, got 3"


def test_compare_takes_a_run_folder(xpert: Callable, refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert "has no design.json" in refusal("compare", run, design_file)
    design = Design.read(design_file)
    design.write(run / "design.json")
    design.replace(name="best single periphery").write(run / "single.json")
    compared = figures_of(xpert, "compare", run)
    assert [entry["name"] for entry in compared["designs"]] == [design.name, "best single periphery"]


def test_a_broken_design_is_refused(xpert: Callable, refusal: Callable, tmp_path: Path, design_file: Path) -> None:
    data = json.loads(design_file.read_text())
    data["periphery"][3]["adc_bits"] = 40
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(data))
    message = f"{broken}: periphery.3.adc_bits: Input should be less than or equal to 12 (got 40)"
    assert refusal("evaluate", broken) == message
    assert refusal("compare", design_file, broken) == message
    broken.write_text("{}")
    outcome = xpert("evaluate", broken)
    missing = [f"xpert: error: {broken}: {name}: required, but not given" for name in ("name", "network", "dataset")]
    assert (outcome.code, outcome.stdout, outcome.stderr.splitlines()) == (2, "", missing)
    broken.write_text('{"periphery": []}')
    assert xpert("evaluate", broken).stderr.startswith(f"xpert: error: {broken}: network: required, but not given")


def test_many_problems_of_a_file_are_a_line_each_and_no_more_than_anyone_reads(
    xpert: Callable, tmp_path: Path, design_file: Path
) -> None:
    data = json.loads(design_file.read_text())
    data["periphery"] = [entry | {"adc_bits": 40, "input_bits": 0} for entry in data["periphery"]]
    data["chip"]["rows"] = -1
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(data))
    lines = xpert("evaluate", broken).stderr.splitlines()
    assert len(lines) == 21
    assert all(line.startswith(f"xpert: error: {broken}: ") for line in lines[:20])
    assert any("chip.rows: " in line for line in lines)
    assert re.fullmatch(r"xpert: error: and \d+ more", lines[-1])


@pytest.fixture
def weight_file(design_file: Path, tmp_path: Path) -> Path:
    """Untrained weights of the quickstart's typical design."""
    path = tmp_path / "weights.safetensors"
    save_weights(build(Design.read(design_file).network), path)
    return path


def test_measured_activity(xpert: Callable, design_file: Path, weight_file: Path, tmp_path: Path) -> None:
    written = tmp_path / "measured.json"
    options = ("--weights", weight_file, "--dataset", "digits")
    measured = figures_of(xpert, "evaluate", design_file, *options, "--write", written)
    assumed = figures_of(xpert, "evaluate", design_file)
    assert measured["energy_uj"] != assumed["energy_uj"]
    assert measured["area_mm2"] == assumed["area_mm2"]
    assert {layer["input_bit_density"] for layer in assumed["layers"]} == {0.3}
    assert len({layer["input_bit_density"] for layer in measured["layers"]}) == 14
    # The design that was written carries it.
    assert figures_of(xpert, "evaluate", written) == measured
    again = figures_of(xpert, "evaluate", design_file, *options, "--sweep", "columns_per_adc=8,16")["sweep"]
    assert again[0]["energy_uj"] == measured["energy_uj"]


def test_activity_that_a_sweep_would_falsify(refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    design = Design.read(design_file)
    path = tmp_path / "measured.json"
    design.replace(activity=(Activity(),) * 14).write(path)
    sweeps = "input_bits=4,8", "device.cell_bits=2", "device=rram-woo-2016", "input_bit_density=0.5"
    for sweep in (*sweeps, "input_coding=pulse_width"):
        assert f"{sweep.partition('=')[0]} changes what the activity" in refusal("evaluate", path, "--sweep", sweep)


def test_measured_and_assumed_activity_are_not_compared(refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    Design.read(design_file).replace(activity=(Activity(),) * 14).write(path)
    for files in ((design_file, path), (path, design_file)):
        assert f"{path} has measured activity and {design_file} has not" in refusal("compare", *files)


def test_options_that_belong_together(refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    assert "--weights and --dataset go together" in refusal("evaluate", design_file, "--dataset", "digits")
    assert "--weights and --dataset go together" in refusal("evaluate", design_file, "--weights", "w.safetensors")
    missing = ("--weights", tmp_path / "none.safetensors", "--dataset", "digits")
    assert "no such weight file" in refusal("evaluate", design_file, *missing)
    assert "--draw" in refusal("evaluate", design_file, "--draw", tmp_path / "c.svg", "--sweep", "rows=64")


def test_a_picture_of_the_chip(xpert: Callable, design_file: Path, tmp_path: Path) -> None:
    figures = figures_of(xpert, "evaluate", design_file, "--draw", tmp_path / "chip.svg")
    assert (tmp_path / "chip.svg").read_text(encoding="utf-8") == chip_svg(figures)


def test_the_reference_has_no_floorplan_to_draw(refusal: Callable, design_file: Path, tmp_path: Path) -> None:
    refused = refusal("evaluate", design_file, "--switches", "reference", "--draw", tmp_path / "chip.svg")
    assert "the reference mode has no floorplan" in refused
    assert not (tmp_path / "chip.svg").exists()


def test_the_picture_in_the_docs_is_what_is_drawn() -> None:
    """`XPERT_RECORD=1` draws it anew; docs/hardware-model.md has the commands that a user would type."""
    drawn = chip_svg(evaluate(typical_design(load_preset("cifar10-vgg16"))).to_dict())
    picture = Path(__file__).parents[2] / "docs" / "images" / "chip.svg"
    if os.environ.get("XPERT_RECORD"):
        picture.write_text(drawn, encoding="utf-8")
    assert picture.read_text(encoding="utf-8") == drawn


def test_narrow_terminals_lose_no_numbers(monkeypatch: pytest.MonkeyPatch, xpert: Callable, design_file: Path) -> None:
    wide = xpert("evaluate", design_file).stdout
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = re.sub(r"\x1b\[\d*m", "", xpert("evaluate", design_file).stdout)
    assert max(map(len, narrow.splitlines()[8:])) <= 80
    assert "…" not in narrow
    assert set(re.findall(r"\d+\.\d+", wide)) == set(re.findall(r"\d+\.\d+", narrow))
