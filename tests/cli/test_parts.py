"""`xpert parts`, and parts in what other commands read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from xpert.design import PART_KINDS, part_names, part_text

CONFIG = """\
name: own
network: {backbone: vgg16, choices: [16]}
dataset: {name: digits}
chip:
  adcs: [parts/mine.yaml]
baselines:
  typical: {adc_type: mine, adc_bits: 6}
"""


def test_shipped_parts_are_listed_and_printed(xpert: Callable) -> None:
    listed = [line.split()[:2] for line in xpert("parts").stdout.splitlines()]
    assert listed == [[kind, name] for kind in PART_KINDS for name in part_names(kind)]
    for kind, name in listed:
        assert xpert("parts", name).stdout == part_text(kind, name)


def test_a_printed_part_is_one_of_the_users_own(xpert: Callable, refusal: Callable, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    missing = tmp_path / "parts" / "mine.yaml"
    assert refusal("evaluate", tmp_path / "config.yaml").startswith(
        f"{tmp_path}/config.yaml: chip.adcs.0: {missing}: no such adc file"
    )
    missing.parent.mkdir()
    text = xpert("parts", "murmann-sar-median").stdout.replace("name: murmann-sar-median", "name: mine")
    missing.write_text(text)
    layers = json.loads(xpert("evaluate", tmp_path / "config.yaml", "--json").stdout)["layers"]
    assert {layer["adc_type"] for layer in layers} == {"mine"}
    missing.write_text(text.replace("energy_pj: 0.0275 * 2**bits", "energy_pj: 0.0275 * 2^bits"))
    assert refusal("evaluate", tmp_path / "config.yaml").startswith(
        f"{tmp_path}/config.yaml: chip.adcs.0: {missing}: energy_pj: a formula has numbers, names, + - * / ** and ( )"
    )


def test_devices_and_own_adcs_are_swept_by_name(xpert: Callable, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace("parts/mine.yaml", "murmann-sar-best").replace("mine", "sar"))
    sweeps = ("--sweep", "device=rram-wan-2022,sram-neurosim", "--sweep", "adc_type=sar,murmann-sar-best")
    rows = json.loads(xpert("evaluate", tmp_path / "config.yaml", *sweeps, "--json").stdout)["sweep"]
    assert [(row["device"], row["adc_type"]) for row in rows] == [
        (device, adc) for device in ("rram-wan-2022", "sram-neurosim") for adc in ("sar", "murmann-sar-best")
    ]
    assert len({row["edap"] for row in rows}) == 4
