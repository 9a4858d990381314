"""Kinds of ADC from outside the package, and names that no kind has: found, or refused, wherever a design is priced."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpert.cli.values import parse_sweeps, swept
from xpert.design import ADCS, Adc, Chip, Design, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.experiment import SearchConfig
from xpert.hardware import (
    AdcKind,
    Block,
    Conversion,
    PeripheryArrays,
    cost_tables,
    evaluate,
    evaluate_batch,
)
from xpert.hardware.adcs.sar import SAR
from xpert.hardware.technology import Process
from xpert.networks.spaces import space
from xpert.workload.layers import Workload

NETWORK = Network(
    backbone="custom",
    input_shape=(3, 8, 8),
    layers=(
        Layer(name="a", in_channels=3, out_channels=32, in_height=8, in_width=8, kernel_height=3, kernel_width=3),
        Layer(name="b", in_channels=32, out_channels=10, in_height=6, in_width=6, kernel_height=3, kernel_width=3),
    ),
)


def twin(p: Process, asked: Conversion) -> list[Block]:
    """A SAR ADC of twice the area."""
    (block,) = SAR.blocks(p, asked)
    return [replace(block, name="twin_adc", cost=replace(block.cost, area=2 * block.cost.area))]


@pytest.fixture
def registered(own_entries: None) -> None:
    ADCS.register(AdcKind(twin), "twin")


def design(*adc_types: str) -> Design:
    return Design.parse({"network": NETWORK, "periphery": tuple(Periphery(adc_type=name) for name in adc_types)})


@pytest.mark.usefixtures("registered")
def test_a_kind_from_outside_is_priced_like_any_other() -> None:
    sar, mixed, both = evaluate(design("sar", "sar")), evaluate(design("twin", "sar")), evaluate(design("twin", "twin"))
    # References and mirrors, of which a twin has no more, are a part.
    assert 1.5 < both.breakdown["area"]["adc"] / sar.breakdown["area"]["adc"] < 2
    # Tiles take parts of slots: what is larger may fill white space, and the chip stays as large.
    filled = [float(found.area - found.breakdown["area"]["white_space"]) for found in (sar, mixed, both)]
    assert filled[0] < filled[1] < filled[2]
    assert sar.area <= mixed.area * (1 + 1e-9)
    assert sar.area < both.area
    assert both.breakdown["energy"]["adc"] == sar.breakdown["energy"]["adc"]
    assert [layer["adc_type"] for layer in mixed.to_dict()["layers"]] == ["twin", "sar"]


@pytest.mark.usefixtures("registered")
def test_a_kind_from_outside_can_be_searched() -> None:
    networks = space("vgg11", (16, 32), (3, 32, 32), 10)
    tables = cost_tables(Chip(), networks, [Periphery(adc_type=name) for name in ("sar", "twin")])
    for table in tables.layers:
        assert np.all(table.area[..., 1] > table.area[..., 0])


@pytest.mark.usefixtures("registered")
def test_an_own_adc_cannot_take_the_name_of_a_kind() -> None:
    with pytest.raises(ConfigError, match="choose another"):
        Adc.parse({
            "name": "twin", "source": "a table made up for this test", "bits": [3, 8], "nodes_nm": [22, 65],
            "area_um2": 1, "energy_pj": 1, "latency_ns": 1,
        })  # fmt: skip


def test_a_name_without_a_kind_is_refused_everywhere() -> None:
    work = Workload.from_network(NETWORK)
    with pytest.raises(ConfigError, match=r"periphery.0.adc_type must be one of sar, flash.*, got 'twin'"):
        design("twin", "sar")
    with pytest.raises(ConfigError, match=r"periphery.1.adc_type must be one of sar, flash.*, got 'twin'"):
        PeripheryArrays.of([Periphery(), Periphery(adc_type="twin")])
    with pytest.raises(ConfigError, match=r"periphery.adc_type must be one of 0 \(sar\), .*, got 0 to 99"):
        evaluate_batch(Chip(), work, PeripheryArrays.given(adc_type=np.array([0, 99]), adc_bits=6))
    with pytest.raises(ConfigError, match=r"periphery.adc_type must be one of 0 \(sar\), .*, got 0.5 to 1.0"):
        evaluate_batch(Chip(), work, PeripheryArrays.given(adc_type=np.array([0.5, 1])))
    with pytest.raises(ConfigError, match=r"periphery.0.adc_type must be one of sar, flash.*, got 'twin'"):
        swept(design("sar", "sar"), parse_sweeps(["adc_type=sar,twin"]))
    search = {"name": "a", "network": {"backbone": "vgg11", "choices": [4]}, "dataset": {"name": "digits"}}
    with pytest.raises(ConfigError, match=r"periphery.adc_types.1 must be one of sar, flash.*, got 'twin'"):
        SearchConfig.parse(search | {"periphery": {"adc_types": ["sar", "twin"]}})
    with pytest.raises(ConfigError, match=r"baselines.typical.adc_type must be one of sar, flash.*, got 'twin'"):
        SearchConfig.parse(search | {"baselines": {"typical": {"adc_type": "twin"}}})
    with pytest.raises(ConfigError, match=r"peripheries.0.adc_type must be one of sar, flash"):
        cost_tables(Chip(), space("vgg11", (16,), (3, 32, 32), 10), [Periphery(adc_type="twin")])


@pytest.mark.usefixtures("own_entries")
def test_a_known_name_without_circuits_is_refused() -> None:
    """What fails is the price, not the search: nothing is ever free."""
    ADCS.register(None, "hollow")
    with pytest.raises(ConfigError, match="adc_type 'hollow': must be registered with an AdcKind, got None"):
        evaluate(design("sar", "hollow"))


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", ["sar", "twin", "Ramp", "a b", ""])
def test_a_name_that_is_taken_or_wrong_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^adc_type: (the name .* is taken|a name must match)"):
        ADCS.register(AdcKind(twin), name)


def test_what_an_installed_package_brings_is_a_kind(tmp_path: Path) -> None:
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (tmp_path / "broken_adc.py").write_text("NO_KIND = 7")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[xpert.adcs]\nhollow = broken_adc:NO_KIND\ngone = broken_adc:MISSING\n")
    designs = {name: tmp_path / f"{name}.json" for name in ("hollow", "gone")}
    plain = design("sar", "sar").model_dump_json()
    for name, path in designs.items():
        path.write_text(plain.replace('"adc_type":"sar"', f'"adc_type":"{name}"'))

    def run(name: str) -> subprocess.CompletedProcess[str]:
        paths = [str(tmp_path), *sys.path]
        return subprocess.run(
            [sys.executable, "-m", "xpert", "evaluate", str(designs[name]), "--json"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )

    for name, message in (
        ("hollow", "must be registered with an AdcKind, got 7"),
        ("gone", "broken_adc:MISSING of xpert.adcs cannot be loaded"),
    ):
        refused = run(name)
        assert refused.returncode == 2
        assert message in refused.stderr.replace("\n", " ")


def test_kinds_have_one_name_each() -> None:
    assert len(set(ADCS.names())) == len(ADCS.names())
    assert ADCS.names()[:2] == ("sar", "flash")
