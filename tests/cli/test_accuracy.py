"""`xpert accuracy`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from xpert.experiment import SearchConfig, typical_design

ARGUMENTS = ("--dataset", "digits", "--chips", "2", "--calibration-images", "16")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small design, and weights of its network (random ones: what is tested is the way to the figures)."""
    from xpert.networks import build
    from xpert.training import save_weights

    folder = tmp_path_factory.mktemp("accuracy")
    config = {"name": "small", "network": {"backbone": "vgg11", "choices": [4, 8]}, "dataset": {"name": "digits"}}
    design = typical_design(SearchConfig.parse(config))
    design.write(folder / "design.json")
    save_weights(build(design.network, weight_bits=8), folder / "weights.safetensors")
    return folder / "design.json", folder / "weights.safetensors"


def test_json_and_table(xpert: Callable, trained: tuple[Path, Path]) -> None:
    design, weights = trained
    outcome = xpert("accuracy", design, "--weights", weights, *ARGUMENTS, "--json")
    assert outcome.code == 0
    assert outcome.stderr == ""
    figures = json.loads(outcome.stdout)
    assert {"ideal", "quantised", "ni_mean", "ni_std"} <= set(figures)
    assert all(0 <= figures[key] <= 1 for key in ("ideal", "quantised", "ni_mean"))
    assert len(figures["chips"]) == 2
    assert figures["ni_mean"] == pytest.approx(sum(figures["chips"]) / 2)
    assert figures["implementation"].startswith(("C: ", "torch: "))
    table = xpert("accuracy", design, "--weights", weights, *ARGUMENTS).stdout
    assert f"{100 * figures['ideal']:.1f} %" in table
    assert f"{100 * figures['ni_mean']:.1f} %" in table
    again = xpert("accuracy", design, "--weights", weights, *ARGUMENTS, "--json")
    assert json.loads(again.stdout) == figures


def test_by_effect_and_by_layer(xpert: Callable, trained: tuple[Path, Path]) -> None:
    design, weights = trained
    changes = ("--set", "adc_noise=0.5", "--set", "encoding=differential", "--set", "adc_bits=7")
    arguments = (design, "--weights", weights, *ARGUMENTS, "--images", "24", "--ablation", "--layers", *changes)
    outcome = xpert("accuracy", *arguments, "--json")
    assert outcome.code == 0
    figures = json.loads(outcome.stdout)
    assert figures["images"] == 24
    assert figures["ni_low"] <= figures["ni_mean"] <= figures["ni_high"]
    assert [row["effect"] for row in figures["ablation"]] == [
        "on_off_ratio",
        "programming",
        "adc",
        "adc_offset",
        "adc_noise",
    ]
    for row in figures["ablation"]:
        for key in ("alone", "without"):
            assert set(row[key]) == {"ni_mean", "ni_std", "ni_low", "ni_high"}
    assert figures["ablation"][0]["alone"]["ni_mean"] == figures["quantised"]
    names = [layer["name"] for layer in json.loads(design.read_text())["network"]["layers"]]
    assert [row["layer"] for row in figures["layers"]] == names
    assert figures["layers"][0]["snr_db"] == pytest.approx(figures["layers"][0]["accumulated_snr_db"])
    table = xpert("accuracy", *arguments).stdout
    assert "adc noise" in table
    assert f"{figures['layers'][0]['snr_db']:.1f}" in table


def test_what_is_written_is_in_the_report(xpert: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    design, weights = trained
    (tmp_path / "design.json").write_text(design.read_text())
    written = tmp_path / "accuracy.json"
    arguments = ("--images", "4", "--ablation", "--set", "adc_noise=0.5", "--write", written, "--json")
    outcome = xpert("accuracy", design, "--weights", weights, *ARGUMENTS, *arguments)
    assert json.loads(outcome.stdout) == json.loads(written.read_text())
    assert json.loads(outcome.stdout)["changes"] == ["adc_noise=0.5"]
    assert xpert("report", tmp_path).code == 0
    assert '<th scope="row">ADC noise</th>' in (tmp_path / "report.html").read_text()


def test_chips_as_a_population(xpert: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    design, weights = trained
    (tmp_path / "design.json").write_text(design.read_text())
    written = tmp_path / "accuracy.json"
    arguments = ("accuracy", design, "--weights", weights, "--dataset", "digits", "--chips", "20", "--images", "10")
    arguments = (
        *arguments,
        "--set",
        "device=rram-wan-2022",
        "--yield-at",
        "0.2",
        "--times",
        "1d,1s",
        "--write",
        written,
    )
    found = json.loads(xpert(*arguments, "--json").stdout)
    chips = sorted(found["chips"])
    assert [(row["percent"], row["ni"]) for row in found["percentiles"]] == [
        (5, chips[0]), (25, chips[4]), (50, chips[9]), (75, chips[14]), (95, chips[18])
    ]  # fmt: skip
    reached = found["chip_yield"]
    assert reached["share"] == sum(value >= 0.2 for value in chips) / 20
    assert reached["low"] < reached["share"] < reached["high"] or reached["share"] in {0.0, 1.0}
    assert [row["seconds"] for row in found["over_time"]] == [1.0, 86400.0]
    # At the device's t0 cells are as they were programmed; later they are others.
    assert found["over_time"][0]["ni_mean"] == found["ni_mean"]
    assert found["over_time"][1]["ni_mean"] != found["ni_mean"]
    table = xpert(*arguments).stdout
    for words in ("5th percentile", "of 20 chips reach 20.0 %", "24 h 00 min", "Programming the chip: "):
        assert words in table
    assert xpert("report", tmp_path).code == 0
    page = (tmp_path / "report.html").read_text()
    assert "Chips as a population" in page
    assert "Time after programming" in page


def test_times_need_cells_that_change(refusal: Callable, trained: tuple[Path, Path]) -> None:
    design, weights = trained
    arguments = ("accuracy", design, "--weights", weights, *ARGUMENTS)
    assert "do not change with time" in refusal(*arguments, "--times", "1s")
    assert refusal(*arguments, "--times", "1s,soon").startswith("--times: expected TIME,... such as 1s,30min")


def test_one_chip_has_no_interval(xpert: Callable, trained: tuple[Path, Path]) -> None:
    design, weights = trained
    arguments = ("accuracy", design, "--weights", weights, "--dataset", "digits", "--chips", "1", "--images", "8")
    figures = json.loads(xpert(*arguments, "--json").stdout)
    assert figures["ni_low"] is figures["ni_high"] is None
    assert "NI, 95 % confidence" in xpert(*arguments).stdout


def test_wrong_values(refusal: Callable, trained: tuple[Path, Path]) -> None:
    design, weights = trained

    def answer(change: str) -> str:
        return refusal("accuracy", design, "--weights", weights, *ARGUMENTS, "--set", change)

    assert answer("adc_bits").startswith("--set: expected NAME=VALUE")
    assert answer("adc_bist=6").startswith("--set: unknown field 'adc_bist'; known are")
    assert answer("adc_bits=5,6") == "--set: adc_bits: one value, got 2"
    assert answer("adc_noise=-1").startswith("--set adc_noise=-1: chip.analog.adc_noise: ")


def test_wrong_files(refusal: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    design, weights = trained

    def answer(weights: Path, *arguments: str) -> str:
        return refusal("accuracy", design, "--weights", weights, *(arguments or ARGUMENTS))

    assert answer(tmp_path / "none") == f"{tmp_path / 'none'}: no such weight file"
    assert answer(tmp_path) == f"{tmp_path}: is a folder, not a weight file"
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:-100])
    assert answer(torn).startswith(f"{torn}: ")
    torn.write_bytes(b"")
    assert answer(torn).startswith(f"{torn}: ")
    assert answer(weights, "--dataset", "imagenet").startswith(
        "dataset: must be one of cifar10, cifar100, digits, imagefolder, npz, tinyimagenet, got 'imagenet'"
    )
    assert "no such folder" in answer(weights, "--dataset", "cifar10", "--data-dir", str(tmp_path / "none" / "data"))


def test_another_networks_weights(refusal: Callable, trained: tuple[Path, Path], tmp_path: Path) -> None:
    design, weights = trained
    data = json.loads(design.read_text())
    data["network"]["channels"][0] = 16
    data["network"]["layers"][0]["out_channels"] = 16
    data["network"]["layers"][1]["in_channels"] = 16
    (tmp_path / "other.json").write_text(json.dumps(data))
    message = refusal("accuracy", tmp_path / "other.json", "--weights", weights, *ARGUMENTS)
    assert message.startswith(f"{weights}: ")
    assert "conv1.weight must be torch.float32 [16, 1, 3, 3]" in message
