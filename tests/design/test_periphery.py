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
    PRECISION_FIELDS,
    Chip,
    Decision,
    Design,
    Layer,
    Network,
    Periphery,
    options_of,
)
from xpert.errors import ConfigError
from xpert.experiment import load_preset, typical_design
from xpert.hardware import evaluate


def two_layers() -> Design:
    layers = tuple(
        Layer(name=name, in_channels=4, out_channels=4, kernel_height=3, kernel_width=3, in_height=8, in_width=8)
        for name in ("a", "b")
    )
    return Design.homogeneous(Network(backbone="two", layers=layers), Chip(), Periphery())


def test_every_field_is_a_decision() -> None:
    assert list(Periphery.decisions()) == list(Periphery.model_fields)
    assert all(isinstance(decision, Decision) for decision in Periphery.decisions().values())
    assert ARCHITECTURE_FIELDS == KIND_FIELDS == ("adc_type", "columns_per_adc")
    assert PRECISION_FIELDS == tuple(Periphery.decisions(changes_sums=True)) == ("adc_bits", "input_bits")


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
    assert [decision.title for decision in decisions.values()] == ["ADC", "Columns per ADC", "ADC bits", "Input bits"]
    assert decisions["input_bits"].axis == "Input precision [bit]"
    assert decisions["columns_per_adc"].axis == "Column sharing"


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
    with pytest.raises(ValueError, match="zip"):
        design.with_values(("columns_per_adc",), [(8,)])
    with pytest.raises(ValueError, match="zip"):
        design.with_values(("columns_per_adc", "adc_bits"), [(8,), (8,)])


FIFTH = '''
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

    @classmethod
    def decisions('''
"""A fifth decision, as someone would write it who adds one."""

SEEN = """
import json
import sys
from pathlib import Path

from xpert.cli.evaluation import show_evaluation
from xpert.cli.sweep import parse_sweeps, sweep_fields, swept
from xpert.design import Design, Periphery, options_of
from xpert.experiment import load_preset, typical_design
from xpert.experiment.config import SearchConfig
from xpert.report import write_report
from xpert.search.precision.converters import peripheries

own = Periphery()
assert own.short() == "sar/8/6/8/1"
assert own.sums_key() == "6/8/1" != own.replace(adc_redundancy=2).sums_key()
assert own.in_words().endswith("8-bit inputs, 1 spare bits")
assert [entry.adc_redundancy for entry in options_of(own, adc_redundancy=(0, 3))] == [0, 3]

plain = load_preset("quickstart")
assert plain.precision.options["adc_redundancy"] == (0, 2)
asked = plain.replace(precision=plain.precision.replace(adc_redundancies=[1, 3], adc_bits=[4], input_bits=[8]))
assert asked.precision.combinations() == [(4, 8, 1), (4, 8, 3)]
try:
    SearchConfig.parse(plain.model_dump() | {"precision": {"adc_redundancies": [2, 2]}})
except Exception as error:
    assert "precision.adc_redundancies: options must differ" in str(error), error
else:
    raise AssertionError("two options are the same")
assert [entry.short() for entry in peripheries([("flash", 4)], own, asked.precision.combinations())] == [
    "flash/4/4/8/1",
    "flash/4/4/8/3",
]

design = typical_design(plain)
assert "adc_redundancy" in sweep_fields()
variants = swept(design, parse_sweeps(["adc_redundancy=0,4"]))
assert [{entry.adc_redundancy for entry in variant.periphery} for _, variant in variants] == [{0}, {4}]

figures = json.loads(Path(sys.argv[2]).read_text())
for layer in figures["layers"]:
    layer["adc_redundancy"] = 3
show_evaluation(figures)  # the test looks at what it prints

rows = [[*own.values(["adc_bits", "input_bits"]), 2]] * len(design.periphery)
found = design.with_values(("adc_bits", "input_bits", "adc_redundancy"), rows)
found.write(Path(sys.argv[1]) / "design.json")
assert Design.read(Path(sys.argv[1]) / "design.json") == found
assert "Spare bits" in write_report(Path(sys.argv[1])).read_text(encoding="utf-8")
(Path(sys.argv[1]) / "results.json").write_text(json.dumps({"searched": {"evaluation": figures}}))
assert "Spare<br>bits" in write_report(Path(sys.argv[1])).read_text(encoding="utf-8")
"""


@pytest.fixture
def with_a_fifth(tmp_path: Path) -> Path:
    """The package's source with a fifth decision in `Periphery`, and nothing else changed."""
    source = tmp_path / "source"
    shutil.copytree(Path(xpert.__file__).parent, source / "xpert", ignore=shutil.ignore_patterns("__pycache__"))
    file = source / "xpert" / "design" / "periphery.py"
    text = file.read_text(encoding="utf-8")
    assert text.count("\n    @classmethod\n    def decisions(") == 1
    file.write_text(text.replace("\n    @classmethod\n    def decisions(", FIFTH), encoding="utf-8")
    return source


def test_a_fifth_decision_is_seen_everywhere(with_a_fifth: Path, tmp_path: Path) -> None:
    """Where options, labels, keys, sweeps and tables are; its physics, from `PeripheryArrays` on, it must bring."""
    run, figures = tmp_path / "run", tmp_path / "figures.json"
    run.mkdir()
    figures.write_text(json.dumps(evaluate(typical_design(load_preset("quickstart"))).to_dict()))
    environment = os.environ | {"PYTHONPATH": str(with_a_fifth)}
    command = [sys.executable, "-c", SEEN, str(run), str(figures)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("Periphery, mapping") :].splitlines()
    assert "spare" in table[2]
    assert table[5].split()[8] == "3"
