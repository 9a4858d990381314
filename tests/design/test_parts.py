"""Parts in files of their own: the shipped ones are what their sources say, and wrong ones are named."""

from __future__ import annotations

import csv
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import (
    ADCS,
    Adc,
    Chip,
    DataModel,
    Design,
    Device,
    Layer,
    Network,
    Periphery,
    Technology,
    load_part,
    part_names,
    part_text,
)
from xpert.errors import ConfigError
from xpert.experiment import SearchConfig

MODELS: dict[str, type[DataModel]] = {"adc": Adc, "device": Device, "technology": Technology}
SHIPPED = [(kind, name) for kind in MODELS for name in part_names(kind)]

ADC = {
    "name": "mine",
    "source": "a table made up for this test",
    "bits": [3, 8],
    "nodes_nm": [22, 65],
    "area_um2": 500,
    "energy_pj": "0.02 * 2**bits",
    "latency_ns": {4: 1, 6: "bits / 3", 8: 5.5},
}
NETWORK = Network(backbone="custom", layers=(Layer(name="conv", in_channels=3, out_channels=8),))


def refusal(data: Any, model: type[DataModel] = Adc, folder: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        model.parse(data, "f.yaml", folder)
    assert str(caught.value).isprintable()
    return str(caught.value)


# ADCs


def test_a_number_a_formula_and_a_table_of_the_same_values_are_the_same() -> None:
    table = {bits: 2.0**bits for bits in range(3, 9)}
    figures = [
        Adc.parse(ADC | {"energy_pj": figure, "latency_ns": 1}).figures(32)["energy_pj"]
        for figure in (
            "2**bits",
            table,
            {bits: f"2**{bits}" for bits in table},
            {str(bits): v for bits, v in table.items()},
        )
    ]
    assert figures == [table] * 4
    same = [
        Adc.parse(ADC | {"area_um2": figure}).figures(32)["area_um2"]
        for figure in (500, "500", {4: 500, 6: 500, 8: 500})
    ]
    assert same[0] == same[1] == same[2]


def test_a_table_allows_the_precisions_that_it_lists() -> None:
    adc = Adc.parse(ADC)
    assert adc.allowed_bits == (4, 6, 8)
    assert adc.figures(32)["latency_ns"] == {4: 1.0, 6: 2.0, 8: 5.5}
    assert Adc.parse(ADC | {"latency_ns": 1}).allowed_bits == (3, 4, 5, 6, 7, 8)


def test_formulas_see_the_node() -> None:
    adc = Adc.parse(ADC | {"area_um2": "(node_nm / 32)**2"})
    assert [adc.figures(node)["area_um2"][4] for node in (32, 64)] == [1.0, 4.0]


@given(
    st.fixed_dictionaries(
        {
            field: st.floats(0, 1e6)
            | st.sampled_from(["bits", "2**bits * node_nm", "max(1, log2(bits))"])
            | st.dictionaries(st.sampled_from([4, 6]), st.floats(0, 10) | st.just("bits / 2"), min_size=2)
            for field in ("area_um2", "energy_pj", "latency_ns", "leakage_uw")
        }
    )
)
def test_an_adc_survives_json_and_yaml(figures: dict[str, Any]) -> None:
    adc = Adc.parse(ADC | figures)
    assert Adc.parse(json.loads(adc.model_dump_json())) == adc
    assert Adc.parse(yaml.safe_load(yaml.safe_dump(adc.model_dump(mode="json")))) == adc
    assert hash(Adc.parse(adc.model_dump())) == hash(adc)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "My ADC"}, "name: String should match pattern"),
        ({"name": "flash"}, "name: flash is one of the ADCs derived from their circuits"),
        ({"source": "?"}, "source: String should have at least 10 characters"),
        ({"bits": [8, 3]}, "bits must be [smallest, largest], got [8, 3]"),
        ({"bits": [3, 13]}, "bits.1: Input should be less than or equal to 12 (got 13)"),
        ({"bits": 6}, "bits: Input should be a valid tuple"),
        ({"nodes_nm": [65, 22]}, "nodes_nm must be [smallest, largest], got [65, 22]"),
        ({"area_um2": -1}, "area_um2: must be from 0 to 1e+09 (got -1)"),
        ({"area_um2": math.nan}, "area_um2: must be from 0 to 1e+09 (got nan)"),
        ({"area_um2": 10**400}, "area_um2: must be from 0 to 1e+09 (got an integer of"),
        ({"area_um2": True}, "area_um2: must not be true or false"),
        ({"area_um2": None}, "area_um2: must be a number, a formula over bits and node_nm, or a table"),
        ({"area_um2": [1, 2]}, "area_um2: must be a number, a formula over bits and node_nm, or a table"),
        ({"energy_pj": "2**bit"}, "energy_pj: unknown name 'bit' in a formula; known are bits, node_nm and"),
        ({"energy_pj": "bits - 4"}, "energy_pj: must be from 0 to 1e+09, but 'bits - 4' is -1 at bits = 3"),
        ({"energy_pj": "1 / (bits - 5)"}, "energy_pj: must be from 0 to 1e+09, but '1 / (bits - 5)' is -0.5"),
        ({"energy_pj": "log2(bits - 3)"}, "energy_pj: the formula 'log2(bits - 3)' has no value at bits = 3"),
        ({"energy_pj": "9**9**9"}, "energy_pj: the formula '9**9**9' has no value"),
        ({"latency_ns": {}}, "latency_ns: a table needs at least one entry"),
        ({"latency_ns": {0: 1}}, "latency_ns: the keys of a table are different ADC precisions from 1 to 12 bits"),
        ({"latency_ns": {"four": 1}}, "latency_ns: the keys of a table are different ADC precisions from 1 to 12 bits"),
        ({"latency_ns": {4: 1, "4": 2}}, "latency_ns: the keys of a table are different ADC precisions"),
        ({"latency_ns": {True: 1}}, "latency_ns: the keys of a table are different ADC precisions"),
        ({"latency_ns": {4: [1]}}, "latency_ns: must be a number"),
        ({"latency_ns": {4: True}}, "latency_ns: must be a number"),
        ({"latency_ns": {4: 1, 9: 1}}, "latency_ns: a table has no entries beyond bits (3 to 8)"),
        ({"latency_ns": {4: 1}, "leakage_uw": {5: 1}}, "the tables have no precision in common"),
        ({"gain": 1}, "gain: unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_adc_is_named_with_what_is_allowed(change: dict[str, Any], message: str) -> None:
    wanted = ADC | {"latency_ns": 1} if str(change).startswith("{'energy_pj'") else ADC
    assert refusal(wanted | change).startswith(f"f.yaml: {message}")


@pytest.mark.parametrize("field", ["name", "source", "bits", "nodes_nm", "area_um2", "energy_pj", "latency_ns"])
def test_a_missing_field_is_named(field: str) -> None:
    assert refusal({key: value for key, value in ADC.items() if key != field}).startswith(f"f.yaml: {field}: required")


# On a chip


def test_a_chip_lists_its_adcs_and_refuses_others() -> None:
    chip = Chip.parse({"adcs": [ADC, "murmann-sar-median"]})
    assert chip.adc_types == (*ADCS.names(), "mine", "murmann-sar-median")
    chip.check_adc("mine", 6)
    with pytest.raises(ConfigError, match=r"^x must be one of sar, flash, .*mine, murmann-sar-median .*, got 'yours'$"):
        chip.check_adc("yours", 6, "x")
    with pytest.raises(ConfigError, match=r"^y must be one of 4, 6, 8 for the ADC 'mine', got 5$"):
        chip.check_adc("mine", 5, "x", "y")


@pytest.mark.parametrize(
    ("chip", "message"),
    [
        ({"adcs": [ADC, ADC]}, "adcs.1.name: 'mine' is there twice"),
        ({"adcs": [ADC], "technology": {"node_nm": 14}}, "adcs.0.nodes_nm: the ADC 'mine' is for nodes from 22"),
        ({"adcs": [ADC | {"area_um2": "1 / (node_nm - 32)**2"}]}, "adcs.0.area_um2: the formula '1 / (node_nm"),
        ({"adcs": [ADC | {"bits": 3}]}, "adcs.0.bits: Input should be a valid tuple"),
        ({"adcs": [3]}, "adcs.0: must be a mapping of keys to values"),
        ({"adcs": ["none"]}, "adcs.0: must be a mapping, the path of a YAML file, or one of murmann-flash-best, "),
        ({"device": "none"}, "device: must be a mapping, the path of a YAML file, or one of fefet-jerry-2017, "),
        ({"device": 3}, "device: must be a mapping of keys to values"),
        ({"technology": "no/such.yaml"}, "technology: no/such.yaml: no such technology file"),
    ],
)  # fmt: skip
def test_a_wrong_part_of_a_chip_is_named(chip: dict[str, Any], message: str) -> None:
    assert refusal(chip, Chip).startswith(f"f.yaml: {message}")


@pytest.mark.parametrize(
    ("periphery", "message"),
    [
        ({"adc_type": "yours"}, "periphery.0.adc_type must be one of sar, flash"),
        ({"adc_type": "mine", "adc_bits": 7}, "periphery.0.adc_bits must be one of 4, 6, 8 for the ADC 'mine', got 7"),
        ({"adc_type": "no name"}, "periphery.0.adc_type: String should match pattern"),
    ],
)  # fmt: skip
def test_a_design_refuses_adcs_that_its_chip_does_not_have(periphery: dict[str, Any], message: str) -> None:
    data = {"chip": {"adcs": [ADC]}, "network": NETWORK.model_dump(), "periphery": [periphery]}
    assert refusal(data, Design).startswith(f"f.yaml: {message}")


CONFIG = {"name": "own", "network": {"backbone": "vgg16", "choices": [64]}, "dataset": {"name": "digits"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"periphery": {"adc_types": ["sar", "yours"]}}, "periphery.adc_types.1 must be one of sar, flash"),
        ({"periphery": {"adc_types": ["mine"]}}, "precision.adc_bits must be one of 4, 6, 8 for the ADC 'mine', got 3"),
        ({"baselines": {"typical": {"adc_type": "yours"}}}, "baselines.typical.adc_type must be one of sar"),
        (
            {"periphery": {"adc_types": ["mine"]}, "baselines": {"typical": {"adc_bits": 5}}},
            "baselines.typical.adc_bits must be one of 4, 6, 8 for the ADC 'mine', got 5",
        ),
    ],
)  # fmt: skip
def test_a_search_refuses_adcs_that_its_chip_does_not_have(change: dict[str, Any], message: str) -> None:
    assert refusal(CONFIG | {"chip": {"adcs": [ADC]}} | change, SearchConfig).startswith(f"f.yaml: {message}")


def test_a_search_takes_own_adcs_beside_the_others() -> None:
    change = {"periphery": {"adc_types": ["sar", "mine"]}, "precision": {"adc_bits": [4, 6]}}
    config = SearchConfig.parse(CONFIG | {"chip": {"adcs": [ADC]}} | change)
    assert SearchConfig.parse(json.loads(config.model_dump_json())) == config


# Files


def test_paths_start_from_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "adc.yaml").write_text(yaml.safe_dump(ADC))
    (tmp_path / "parts" / "device.json").write_text(
        json.dumps({"name": "d", "source": "made up here", "r_on_ohm": 1e4})
    )
    chip = {"adcs": ["parts/adc.yaml"], "device": "parts/device.json", "technology": "lstp-28nm"}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG | {"chip": chip}))
    found = SearchConfig.read(config).chip
    assert found.adcs == (Adc.parse(ADC),)
    assert (found.device.name, found.device.r_on_ohm) == ("d", 1e4)
    assert found.technology.feature_nm == 28

    # What is written is whole: it needs no other file.
    design = Design.homogeneous(NETWORK, found, Periphery(adc_type="mine"))
    design.write(tmp_path / "design.json")
    (tmp_path / "parts" / "adc.yaml").unlink()
    assert Design.read(tmp_path / "design.json") == design
    assert refusal(CONFIG | {"chip": chip}, SearchConfig, tmp_path).startswith(
        f"f.yaml: chip.adcs.0: {tmp_path}/parts/adc.yaml: no such adc file"
    )


def test_the_working_directory_is_where_other_paths_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adc.yaml").write_text(yaml.safe_dump(ADC))
    monkeypatch.chdir(tmp_path)
    assert Chip.parse({"adcs": ["adc.yaml"]}).adcs[0].name == "mine"


def test_an_error_in_a_part_names_its_file_and_field(tmp_path: Path) -> None:
    (tmp_path / "adc.yaml").write_text(yaml.safe_dump(ADC | {"area_um2": "2 ** bit"}))
    (tmp_path / "device.yaml").write_text("r_on_ohm: 1000")
    assert refusal({"adcs": ["adc.yaml"]}, Chip, tmp_path).startswith(
        f"f.yaml: adcs.0: {tmp_path}/adc.yaml: area_um2: unknown name 'bit' in a formula"
    )
    assert refusal({"device": "device.yaml"}, Chip, tmp_path).startswith(
        f"f.yaml: device: {tmp_path}/device.yaml: source: required in a file of its own"
    )


# What is shipped


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_a_shipped_part_says_where_it_comes_from(kind: str, name: str) -> None:
    part = load_part(MODELS[kind], name)
    owner = part.process if isinstance(part, Technology) else part
    assert isinstance(owner, DataModel)
    assert len(getattr(owner, "source", "")) > 30
    if not isinstance(part, Technology):
        assert getattr(part, "name", "") == name
    first = part_text(kind, name).splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")


def survey(kind: str) -> dict[str, np.ndarray]:
    """The survey's converters that the shipped ADCs of a kind are made from."""
    text = resources.files("xpert.design.parts").joinpath(f"adcs/murmann-{kind}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    return {key: np.array([float(row[key]) for row in rows]) for key in list(rows[0])[4:]}


@pytest.mark.parametrize(
    ("kind", "count", "spreads", "most"),
    [("sar", 14, (1.3, 1.73, 1.38), (6.53, 25.7, 18.1)), ("flash", 11, (2.07, 1.65, 1.48), (31.2, 6.51, 6.88))],
)
def test_the_survey_adcs_are_the_statistics_that_they_say(
    kind: str, count: int, spreads: tuple[float, ...], most: tuple[float, ...]
) -> None:
    data = survey(kind)
    assert len(data["enob"]) == count
    steps, node = 2 ** data["enob"], data["node_nm"]
    median, best = (load_part(Adc, f"murmann-{kind}-{envelope}") for envelope in ("median", "best"))
    bits_of_time = kind == "sar"  # a flash converts all bits at once
    for field, values, factor, spread, largest in zip(
        ("energy_pj", "area_um2", "latency_ns"),
        (
            data["energy_pj"] / steps,
            data["area_mm2"] * 1e6 / (steps * node),
            1e3 / data["rate_ms_per_s"] / ((steps if bits_of_time else 1) * node),
        ),
        (1, 32, 32),
        spreads,
        most,
        strict=True,
    ):
        middle = np.median(values)
        envelope = middle if field == "latency_ns" else np.sort(values)[:3].mean()
        # The deviation that half of the converters exceed.
        assert 2 ** np.median(np.abs(np.log2(values / middle))) == pytest.approx(spread, rel=0.01)
        assert 2 ** np.max(np.abs(np.log2(values / middle))) == pytest.approx(largest, rel=0.01)
        for bits in median.allowed_bits:
            growth = 2**bits if bits_of_time or field != "latency_ns" else 1
            assert median.figures(32)[field][bits] == pytest.approx(middle * growth * factor, rel=0.005)
            assert best.figures(32)[field][bits] == pytest.approx(envelope * growth * factor, rel=0.005)


@pytest.mark.parametrize("kind", ["sar", "flash"])
def test_the_survey_adcs_are_used_only_where_the_survey_has_converters(kind: str) -> None:
    data = survey(kind)
    for name in (f"murmann-{kind}-median", f"murmann-{kind}-best"):
        adc = load_part(Adc, name)
        assert adc.bits == (math.floor(data["enob"].min()), math.floor(data["enob"].max()))
        assert adc.nodes_nm == (data["node_nm"].min(), data["node_nm"].max())
        assert adc.measured
        # The survey's own envelope over all 725 converters, `p + k 4**ENOB` with the means of the three smallest.
        for bits, energy in adc.figures(32)["energy_pj"].items():
            assert energy > 0.267 + 1.45e-7 * 4**bits


@pytest.mark.parametrize(
    ("name", "on_us", "off_us"),
    [
        ("rram-milo-2021", 225, 50),
        ("rram-wan-2022", 40, 1),
        ("pcm-joshi-2020", 25, 0.25),
        ("pcm-hermes-2023", 10.35, 0.1035),
        ("rram-falcone-2025", 90, 10),
    ],
)
def test_devices_have_the_conductances_of_their_papers(name: str, on_us: float, off_us: float) -> None:
    device = load_part(Device, name)
    assert 1e6 / device.r_on_ohm == pytest.approx(on_us, rel=1e-3)
    assert 1e6 / device.r_off_ohm == pytest.approx(off_us, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "ratio"), [("fefet-jerry-2017", 45), ("rram-woo-2016", 4.43), ("rram-neurosim", 150), ("ideal", 5e7)]
)
def test_devices_have_the_ratios_of_their_papers(name: str, ratio: float) -> None:
    assert load_part(Device, name).on_off_ratio == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "coefficients_us", "at", "spread_us"),
    [
        # Spread of a conductance as a polynomial in its share of the largest one, of the fits that the parts cite; and
        # its value somewhere, in another form of the same fit.
        ("rram-wan-2022", (0.348, 16.030, -43.853, 45.393, -16.815), 0.5, 2.0232),
        ("rram-milo-2021", (4.782321, -0.009107 * 225), 100 / 225, 3.8716),
        ("pcm-joshi-2020", (0.26348, 1.9650, -1.1731), 0.5, 0.9527),
        ("pcm-hermes-2023", (0.15781817, 2.32443916, -2.16310839, 0.68841818), 0.5, 0.8653),
    ],
)
def test_the_spread_of_a_device_is_its_fit(
    name: str, coefficients_us: tuple[float, ...], at: float, spread_us: float
) -> None:
    device = load_part(Device, name)
    largest_us = 1e6 / device.r_on_ohm
    assert device.programming_polynomial is not None
    np.testing.assert_allclose(np.array(device.programming_polynomial) * largest_us, coefficients_us, rtol=2e-3)
    assert np.polynomial.polynomial.polyval(at, device.programming_polynomial) * largest_us == pytest.approx(
        spread_us, rel=2e-3
    )


def test_retention_is_that_of_the_fits() -> None:
    wan, falcone = load_part(Device, "rram-wan-2022"), load_part(Device, "rram-falcone-2025")
    # Wan, at half of 40 uS: 2.023 uS after a second; after a day the polynomial of that time.
    day = np.polynomial.polynomial.polyval(0.5, (0.701, 22.086, -50.773, 47.095, -16.458))
    gained = wan.relaxation_sigma_per_decade * 40 * math.log10(86400)
    assert math.hypot(2.0232, gained) == pytest.approx(day, rel=0.01)
    # Falcone, after ten years of a decade of seconds each: mean -0.0890 ln t, spread 0.412 + 0.0420 ln t uS.
    time = 10 * 365.25 * 86400
    decades = math.log10(time)
    assert falcone.relaxation_per_decade * 90 * decades == pytest.approx(-0.08900206 * math.log(time), rel=0.01)
    assert falcone.programming_polynomial is not None
    spread = math.hypot(falcone.programming_polynomial[0] * 90, falcone.relaxation_sigma_per_decade * 90 * decades)
    assert spread == pytest.approx(0.41183342 + 0.04201137 * math.log(time), rel=0.01)


# Processes

PROCESS = yaml.safe_load(part_text("technology", "lstp-28nm"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vdd_v": 0}, "process.vdd_v: Input should be greater than 0 (got 0)"),
        ({"vth_v": 1}, "process: vth_v must be below vdd_v (0.8819), got 1"),
        ({"on_current_n_a_per_m": [1, 2]}, "process.on_current_n_a_per_m: must be a current above 0, or a list of 11"),
        ({"on_current_p_a_per_m": -1}, "process.on_current_p_a_per_m: must be a current above 0, or a list of 11"),
        ({"fin_pitch_m": 1e-9}, "process: fin_height_m, fin_width_m and fin_pitch_m must all be given or none"),
        ({"fin_pitch_m": 1e-9, "fin_width_m": 1e-9, "fin_height_m": 1e-9}, "process.fin_pitch_m is not allowed"),
        ({"source": None}, "process.source: Input should be a valid string"),
        ({"mobility": 1}, "process.mobility: unknown key"),
    ],
)
def test_a_wrong_process_is_named(change: dict[str, Any], message: str) -> None:
    assert refusal(PROCESS | {"process": PROCESS["process"] | change}, Technology).startswith(f"f.yaml: {message}")


def test_finfet_nodes_need_fins() -> None:
    assert refusal(PROCESS | {"node_nm": 14}, Technology).startswith("f.yaml: process.fin_pitch_m is required")
