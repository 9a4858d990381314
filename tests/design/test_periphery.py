"""The fields of `Periphery` are the list of decisions: what is said of one there is all that must be said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xpert
from xpert.design import (
    ARCHITECTURE_FIELDS,
    KIND_FIELDS,
    OPTIONAL_FIELDS,
    PRECISION_FIELDS,
    Chip,
    Decision,
    Design,
    Layer,
    Network,
    Periphery,
    decisions_taken,
    options_of,
)
from xpert.errors import ConfigError


def two_layers() -> Design:
    layers = tuple(
        Layer(name=name, in_channels=4, out_channels=4, kernel_height=3, kernel_width=3, in_height=8, in_width=8)
        for name in ("a", "b")
    )
    return Design.homogeneous(Network(backbone="two", layers=layers), Chip(), Periphery())


def test_every_field_is_a_decision() -> None:
    assert list(Periphery.decisions()) == list(Periphery.model_fields)
    assert all(isinstance(decision, Decision) for decision in Periphery.decisions().values())
    assert ARCHITECTURE_FIELDS == KIND_FIELDS == ("adc_type", "columns_per_adc", "copies")
    assert tuple(Periphery.decisions(changes_sums=True)) == PRECISION_FIELDS
    assert PRECISION_FIELDS == ("adc_bits", "input_bits", "weight_bits", "cell_bits")


def test_default_options_are_allowed() -> None:
    for name, decision in Periphery.decisions().items():
        assert [getattr(Periphery().replace(**{name: option}), name) for option in decision.options] == [
            *decision.options
        ]


def test_words() -> None:
    entry = Periphery(adc_type="flash", columns_per_adc=4, adc_bits=5, input_bits=3)
    assert entry.short() == "flash/4/5/3"
    assert entry.short(KIND_FIELDS) == "flash/4"
    assert entry.sums_key() == "5/3"
    assert entry.in_words() == "flash, 4 columns per ADC, 5-bit ADC, 3-bit inputs"
    decisions = Periphery.decisions()
    assert [decision.title for decision in decisions.values()] == [
        *("ADC", "Columns per ADC", "ADC bits", "Input bits", "Chosen copies", "Weight bits", "Cell bits")
    ]
    assert decisions["input_bits"].axis == "Input precision [bit]"
    assert decisions["columns_per_adc"].axis == "Column sharing"


def test_optional_decisions_are_named_where_they_are_taken() -> None:
    plain, chosen = Periphery(), Periphery(copies=4)
    assert plain.model_dump() == {"adc_type": "sar", "columns_per_adc": 8, "adc_bits": 6, "input_bits": 8}
    assert plain.replace(copies=None) == plain == Periphery.parse(plain.model_dump() | {"copies": None})
    assert chosen.model_dump() == plain.model_dump() | {"copies": 4}
    assert Periphery.parse(chosen.model_dump()) == chosen != plain
    assert [entry.short() for entry in (plain, chosen)] == ["sar/8/6/8", "sar/8/6/8/4 copies"]
    assert (chosen.short(KIND_FIELDS), chosen.sums_key()) == ("sar/8/4 copies", "6/8")
    assert chosen.in_words() == plain.in_words() + ", 4 copies"
    assert (plain.short([]), plain.short(["copies"])) == ("", "")
    assert list(decisions_taken([plain, plain])) == [
        name for name in Periphery.decisions() if name not in OPTIONAL_FIELDS
    ]
    assert "copies" in decisions_taken([plain, chosen], "architecture")
    assert "copies" not in decisions_taken([chosen], "precision")
    design = two_layers().with_values(("copies",), [(None,), (2,)])
    assert [entry.copies for entry in Design.parse(design.model_dump(mode="json")).periphery] == [None, 2]
    for wrong in (0, True, 5000):
        with pytest.raises(ConfigError, match="copies"):
            Periphery.parse({"copies": wrong})


def test_options_follow_the_order_of_the_fields() -> None:
    base = Periphery(columns_per_adc=2)
    found = options_of(base, input_bits=(3, 4), adc_type=("flash", "sar"))
    assert [entry.short() for entry in found] == ["flash/2/6/3", "flash/2/6/4", "sar/2/6/3", "sar/2/6/4"]
    assert options_of(base) == [base]
    with pytest.raises(ConfigError, match="speed: unknown key"):
        options_of(base, speed=(1, 2))
    with pytest.raises(ConfigError, match="adc_bits"):
        options_of(base, adc_bits=(99,))


def test_other_values_in_every_layer_are_checked() -> None:
    design = two_layers()
    found = design.with_values(("adc_bits", "columns_per_adc"), [(4, 16), (5, 32)])
    assert [entry.short() for entry in found.periphery] == ["sar/16/4/8", "sar/32/5/8"]
    with pytest.raises(ConfigError, match="columns_per_adc must not exceed"):
        design.with_values(("columns_per_adc",), [(8,), (1024,)])
    with pytest.raises(ConfigError, match=r"^periphery\.0\.adc_bits: .* 12 \(got 99\)"):
        design.with_values(PRECISION_FIELDS, [(99, 40)] * 2)
    with pytest.raises(ConfigError, match=r"^periphery\.1\.input_bits: .* 16 \(got 40\)$"):
        design.with_values(PRECISION_FIELDS, [(6, 8), (6, 40)])
    with pytest.raises(ConfigError, match=r"^periphery\.0\.speed: unknown key"):
        design.with_values(("speed",), [(1,), (1,)])
    with pytest.raises(ValueError, match="zip"):
        design.with_values(("columns_per_adc",), [(8,)])
    with pytest.raises(ValueError, match="zip"):
        design.with_values(("columns_per_adc", "adc_bits"), [(8,), (8,)])


MORE = '''
    adc_redundancy: Annotated[
        int,
        Field(ge=0, le=4),
        Decision(
            phase="precision",
            changes_sums=True,
            quantity="ADC redundancy",
            label="spare bits",
            words="{} spare bits",
            options_name="adc_redundancies",
            options=(0, 2),
            options_text="Redundancies.",
            unit="bit",
        ),
    ] = 1
    """Redundant bits. [bit]"""

    layout: Annotated[
        str,
        Field(pattern="dense|loose"),
        Decision(
            phase="architecture",
            changes_sums=False,
            quantity="ADC layout",
            label="layout",
            words="{} layout",
            options_name="layouts",
            options=("dense", "loose"),
            options_text="Layouts.",
        ),
    ] = "dense"
    """How ADCs are laid out."""

    @classmethod
    def decisions('''
"""Two further decisions, as someone would add them: a number that changes sums, and a word that does not."""

PHYSICS = {
    "design/periphery.py": ("\n    @classmethod\n    def decisions(", MORE),
    "hardware/subarray.py": (
        "        instances=n_adcs,\n",
        "        instances=n_adcs * np.where(periphery.values['layout'] == 'loose', 2, 1)\n"
        "        + periphery.values['adc_redundancy'],\n",
    ),
    "analog/programmed.py": (
        "possible, self.adc_bits, ",
        "possible, self.adc_bits + self.periphery.adc_redundancy, ",
    ),
}
"""What is edited to add them: the fields, what they cost and what they do to sums. Loose means twice the ADCs; so many
spare bits are so many ADCs more, and resolve more."""

SEEN = """
import json
import sys
from pathlib import Path

import numpy as np

from xpert.cli.evaluation import show_evaluation
from xpert.cli.values import parse_sweeps, sweep_fields, swept
from xpert.design import Design, Periphery, options_of
from xpert.experiment import load_preset, typical_design
from xpert.experiment.config import SearchConfig
from xpert.hardware import PeripheryArrays, cost_tables, evaluate, evaluate_batch
from xpert.networks.spaces import space
from xpert.report import write_report
from xpert.results import HomogeneousDesign, Precisions
from xpert.search.precision.converters import peripheries
from xpert.workload.layers import Workload

run = Path(sys.argv[1])
own = Periphery()
assert own.short() == "sar/8/6/8/1/dense"
assert own.sums_key() == "6/8/1" != own.replace(adc_redundancy=2).sums_key()
assert own.in_words().endswith("8-bit inputs, 1 spare bits, dense layout")
assert [entry.adc_redundancy for entry in options_of(own, adc_redundancy=(0, 3))] == [0, 3]

plain = load_preset("quickstart")
assert plain.precision.options["adc_redundancy"] == (0, 2)
assert plain.periphery.options["layout"] == ("dense", "loose")
asked = plain.replace(precision=plain.precision.replace(adc_redundancies=[1, 3], adc_bits=[4], input_bits=[8]))
assert asked.precision.combinations() == [(4, 8, None, None, 1), (4, 8, None, None, 3)]
try:
    SearchConfig.parse(plain.model_dump() | {"precision": {"adc_redundancies": [2, 2]}})
except Exception as error:
    assert "precision.adc_redundancies: options must differ" in str(error), error
else:
    raise AssertionError("two options are the same")
assert [entry.short() for entry in peripheries([("flash", 4, None, "loose")], own, asked.precision.combinations())] == [
    "flash/4/4/8/1/loose",
    "flash/4/4/8/3/loose",
]

# Costs: one design, many, and tables.
design = typical_design(plain)
assert {"adc_redundancy", "layout"} <= sweep_fields().keys()
variants = [variant for _, variant in swept(design, parse_sweeps(["adc_redundancy=0,4", "layout=dense,loose"]))]
assert [variant.periphery[0].short(["adc_redundancy", "layout"]) for variant in variants] == [
    "0/dense", "0/loose", "4/dense", "4/loose",
]
areas = [float(evaluate(variant).breakdown["area"]["adc"]) for variant in variants]
assert areas[0] < areas[2] < areas[1] < areas[3], areas
layers = len(design.periphery)
many = PeripheryArrays.of([entry for variant in variants for entry in variant.periphery])
many = PeripheryArrays(*(array.reshape(4, layers) for array in many.values.values()))
batch = evaluate_batch(design.chip, Workload.from_network(design.network), many)
assert batch.breakdown["area"]["adc"].tolist() == areas
networks = space("vgg11", (16,), (3, 32, 32), 10)
tables = cost_tables(design.chip, networks, [variant.periphery[0] for variant in variants])
tiles = [table.demands.tile_area for table in tables.layers]  # areas themselves come in parts of slots
assert all(np.all(np.diff(area[..., [0, 2, 1, 3]]) > 0) for area in tiles)

# Results and the report.
found = design.with_values(("adc_redundancy", "layout"), [(3, "loose")] * layers)
figures = evaluate(found).to_dict()
assert {(layer["adc_redundancy"], layer["layout"]) for layer in figures["layers"]} == {(3, "loose")}
show_evaluation(figures)  # the test looks at what it prints
validation = {"mean": 0.5, "low": 0.4, "high": 0.6}
cell = Precisions.parse({"adc_bits": 4, "input_bits": 4, "adc_redundancy": 2, "validation": validation})
row = HomogeneousDesign(**found.periphery[0].model_dump(), pes_per_tile=4, validation=cell.validation, edap=1.0)
assert (cell.to_dict()["adc_redundancy"], row.to_dict()["layout"]) == (2, "loose")
found.write(run / "design.json")
assert Design.read(run / "design.json") == found
assert "Spare bits" in write_report(run).read_text(encoding="utf-8")
(run / "results.json").write_text(json.dumps({"searched": {"evaluation": figures}}))
said = write_report(run).read_text(encoding="utf-8")
assert "Spare<br>bits" in said
assert "8-bit inputs, 3 spare bits, loose layout</title>" in said, "tooltips of tiles"
"""

CONFIG = {
    "name": "more",
    "network": {"backbone": "vgg11", "choices": [4, 8]},
    "dataset": {"name": "digits"},
    "periphery": {"adc_types": ["sar"], "columns_per_adc": [8], "layouts": ["loose", "dense"]},
    "architecture": {"front_points": 0, "quality": "macs", "minimum_quality": 0.3},
    "training": {"epochs": 1, "batch_size": 256, "precision": "float32"},
    "precision": {
        "adc_bits": [3], "input_bits": [4], "adc_redundancies": [0, 2], "images": 32, "confirmation_images": 0,
        "chips": 1, "calibration_images": 16, "maximum_drop": None, "minimum_accuracy": 0.0,
    },
    "baselines": {"typical": {"adc_bits": 3, "input_bits": 4, "adc_redundancy": 2}},
    "evaluation": {"chips": 1},
}  # fmt: skip
"""A tiny search that decides them too."""


@pytest.fixture(scope="module")
def with_more(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a copy of the package with further decisions; nothing but `PHYSICS` was changed."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(Path(xpert.__file__).parent, source / "xpert", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, after) in PHYSICS.items():
        file = source / "xpert" / name
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, name
        file.write_text(text.replace(before, after), encoding="utf-8")
    return os.environ | {"PYTHONPATH": str(source)}


def run(environment: dict[str, str], *arguments: str | Path) -> str:
    """What a Python process prints."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_further_decision_is_seen_everywhere(with_more: dict[str, str], tmp_path: Path) -> None:
    """Options, labels, keys, sweeps, costs, results and pages follow; its physics is all that it must bring."""
    table = run(with_more, "-c", SEEN, tmp_path)
    table = table[table.index("Periphery, mapping") :].splitlines()
    assert "spare" in table[2]
    assert table[5].split()[8:10] == ["3", "loose"]


def test_a_further_decision_is_searched(with_more: dict[str, str], tmp_path: Path) -> None:
    config, out = tmp_path / "config.json", tmp_path / "run"
    config.write_text(json.dumps(CONFIG))
    run(with_more, "-m", "xpert", "search", config, "--out", out)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    # Phase 1 takes the cheaper layout, and phase 2 tries both redundancies.
    assert {layer["layout"] for layer in results["searched"]["evaluation"]["layers"]} == {"dense"}
    assert {row["layout"] for row in results["architecture"]["homogeneous"]} == {"dense", "loose"}
    tried = results["precision"]["tried"]
    assert {spare for entry in tried for spare in entry["adc_redundancy"]} == {0, 2}
    # In every layer the spare bits leave less error.
    cells = results["precision"]["sensitivity"]
    errors = {(entry["layer"], entry["adc_redundancy"]): entry["error"] for entry in cells}
    assert len(errors) == 2 * len(results["searched"]["evaluation"]["layers"])
    assert all(errors[layer, 2] < errors[layer, 0] for layer, _ in errors)
    assert {point["adc_redundancy"] for point in results["accuracy_vs_precision"]} == {0, 2}
    said = (out / "report.html").read_text(encoding="utf-8")
    assert "Accuracy against ADC redundancy" in said
    assert "spare bits, by ADC precision and input precision" in said
