"""Configs: the shipped ones are right, and wrong ones are answered with one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import DataModel, Design, Periphery, parse_mapping
from xpert.errors import ConfigError
from xpert.experiment import SearchConfig, load_preset, preset_names, search_space, typical_design
from xpert.experiment.config import ArchitectureSettings, PrecisionSettings
from xpert.experiment.presets import describe_preset, preset_text
from xpert.search.precision.strategies import PRECISION_STRATEGIES
from xpert.solver import STRATEGIES

MINIMAL = {"name": "small", "network": {"backbone": "vgg16", "choices": [64, 128]}, "dataset": {"name": "digits"}}


def changed(*path: Any, value: Any) -> dict[str, Any]:
    """The minimal config with another value somewhere."""
    data = json.loads(json.dumps(MINIMAL))
    target = data
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value
    return data


def test_the_shipped_configs() -> None:
    assert preset_names() == ("cifar10-vgg16", "quickstart")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_parses_and_costs_its_backbone(name: str) -> None:
    config = load_preset(name)
    assert config.name == name
    design = typical_design(config)
    assert len(design.network.layers) == 14
    assert design.chip == config.chip
    assert set(design.periphery) == {Periphery(adc_type="sar", columns_per_adc=8, adc_bits=6, input_bits=8)}
    assert design.network.channels == search_space(config).default_channels
    assert max(design.network.channels) == max(map(max, search_space(config).choices))
    assert len(describe_preset(name)) > 20


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_explains_each_part_it_sets(name: str) -> None:
    commented = {line.split("#")[0].strip().split(":")[0] for line in preset_text(name).splitlines() if "#" in line}
    assert {"seed", "choices", "area_budget_mm2", "strategy", "objective", "maximum_drop"} <= commented


def test_a_config_needs_little() -> None:
    config = SearchConfig.parse(MINIMAL)
    assert config.chip.rows == 64
    assert search_space(config).choices == ((64, 128),) * 13
    assert search_space(config).input_shape == (1, 32, 32)


def test_channel_options_per_layer() -> None:
    lists = [[16 * (index + 1), 512] for index in range(13)]
    config = SearchConfig.parse(changed("network", "choices", value=lists))
    assert search_space(config).choices == tuple(map(tuple, lists))


def test_residual_blocks_may_be_left_out() -> None:
    data = changed("network", value={"backbone": "resnet18", "choices": [0, 64, 128]})
    config = SearchConfig.parse(data | {"architecture": {"quality": "macs"}})
    choices = search_space(config).choices
    assert [decision for decision, options in enumerate(choices) if 0 in options] == [1, 2, 5, 8]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), 1, "colour: unknown key"),
        (("network", "depth"), 1, "network.depth: unknown key"),
        (("seed",), -1, "seed: Input should be greater than or equal to 0 (got -1)"),
        (("seed",), 1 << 32, "seed: Input should be less than 4294967296 (got 4294967296)"),
        (("seed",), True, "seed: must not be true or false"),
        (("seed",), "one", "seed: Input should be a valid integer"),
        (
            ("network", "backbone"),
            "lenet",
            "network.backbone: must be one of resnet20, resnet18, vgg11, vgg13, vgg16, vgg19 (got 'lenet')",
        ),
        (("network", "choices"), [], "network.choices: must be a list of channel numbers"),
        (("network", "choices"), [-1], "network.choices: must be a list of channel numbers (1 ... 65536; 0: block"),
        (("network", "choices"), [0, 64], "network: channel options must be positive: vgg16 has no residual block"),
        (
            ("network",),
            {"backbone": "resnet20", "choices": [[0, 8], *[[8]] * 11]},
            "network: channels of decision 0, conv1, must be positive, got 0; residual blocks of resnet20 that may",
        ),
        (
            ("network",),
            {"backbone": "resnet20", "choices": [0, 8]},
            "architecture.quality: the width law knows 3x3 kernels, and 0",
        ),
        (("network", "choices"), [64, [128]], "network.choices: must be a list of channel numbers"),
        (("network", "choices"), "64", "network.choices: must be a list of channel numbers"),
        (("network", "choices"), [[64]], "network: vgg16 has 13 channel decisions, got options for 1"),
        (("network", "choices"), [128, 64], "network: channel options of decision 0 must be positive and rising"),
        (("network", "kernels"), [3, [5]], "network.kernels: must be a list of kernel sides"),
        (("network", "kernels"), [2], "network: kernels must be odd, 1 to 31, or 0 to leave a layer out, got 2"),
        (("network", "kernels"), [3, 5], "architecture.quality: the width law knows 3x3 kernels, and 0"),
        (
            ("dataset", "name"),
            "imagenet",
            "dataset.name: must be one of cifar10, cifar100, digits, imagefolder, npz, tinyimagenet (got 'imagenet')",
        ),
        (("dataset", "validation"), 1, "dataset.validation: Input should be less than 1 (got 1)"),
        (("chip", "rows"), 3, "chip.rows: Input should be greater than or equal to 8 (got 3)"),
        (("periphery", "adc_types"), [], "periphery.adc_types: Tuple should have at least 1 item"),
        (("periphery", "adc_types"), ["pipeline"], "periphery.adc_types.0 must be one of sar, flash"),
        (("periphery", "columns_per_adc"), [8, 8], "periphery.columns_per_adc: options must differ, got [8, 8]"),
        (("periphery", "columns_per_adc"), [128], "columns_per_adc must not exceed the crossbar's 64 columns, got 128"),
        (("baselines", "typical"), {"columns_per_adc": 99}, "columns_per_adc must not exceed the crossbar's 64"),
        (("architecture", "strategy"), "luck", "architecture.strategy: must be one of exact, gradient"),
        (("architecture", "quality"), "snip", "architecture.quality: must be one of width_law, parameters, macs"),
        (("precision", "strategy"), "exact", "precision.strategy: must be one of sensitivity, gradient, evolution"),
        (
            ("precision", "objective"),
            "area",
            "precision.objective: must be one of latency, throughput, energy, edp, edap",
        ),
        (("periphery", "copies"), [0], "periphery.copies.0: Input should be greater than or equal to 1 (got 0)"),
        (("periphery", "copies"), [None, 2, None], "periphery.copies: options must differ, got [None, 2, None]"),
        (("architecture", "area_budget_mm2"), 0, "architecture.area_budget_mm2: Input should be greater than 0"),
        (("architecture", "area_budget_mm2"), float("nan"), "architecture.area_budget_mm2: Input should be a finite"),
        (
            ("architecture",),
            {"area_budget_mm2": 40, "least_area_mm2": 47.5},
            "architecture: least_area_mm2, 47.5, is above area_budget_mm2, 40",
        ),
        *(
            (
                ("architecture", "robust"),
                ["nominal", name],
                "architecture.robust.1: must be one of nominal, adc-energy/5, adc-energy*5, adc-area/5, adc-area*5, "
                f"survey-adcs, survey-adcs-best, sample-and-hold, clock-chip (got '{name}')",
            )
            for name in ("odd", "reference", "measured-activity")
        ),
        (
            ("architecture",),
            {"robust": ["clock-chip"], "quality": "naswot"},
            "architecture: robust: needs a quality that is a sum over layers (width_law, parameters, macs, relu_units, "
            "log_widths), got naswot",
        ),
        (
            ("architecture", "robust"),
            ["clock-chip", "clock-chip"],
            "architecture: robust: variants must differ, got ['clock-chip', 'clock-chip']",
        ),
        (("architecture", "power_budget_mw"), -1, "architecture.power_budget_mw: Input should be greater than 0"),
        (("training", "epochs"), 0, "training.epochs: Input should be greater than or equal to 1 (got 0)"),
        (("precision", "adc_bits"), [99], "precision.adc_bits.0: Input should be less than or equal to 12 (got 99)"),
        (("precision", "percentile"), 5, "precision: chips: a percentile of 5 needs at least 20, got 2"),
        (("precision", "maximum_drop"), 1.5, "precision.maximum_drop: Input should be less than 1 (got 1.5)"),
        (("evaluation", "chips"), 0, "evaluation.chips: Input should be greater than or equal to 1 (got 0)"),
        (("schema_version",), 7, "schema_version: this XPert reads versions 1 to 2, got 7"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchConfig.parse(changed(*path, value=value), "c.yaml")
    assert str(caught.value).startswith(f"c.yaml: {message}")
    assert str(caught.value).isprintable()


def test_what_is_required() -> None:
    for key in MINIMAL:
        data = {other: value for other, value in MINIMAL.items() if other != key}
        with pytest.raises(ConfigError, match=rf"^c: {key}: required, but not given$"):
            SearchConfig.parse(data, "c")


def models(model: type[DataModel]) -> Iterator[type[DataModel]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, DataModel):
            yield from models(field.annotation)


def test_every_field_is_documented() -> None:
    fields = {
        f"{model.__name__}.{name}": field
        for model in models(SearchConfig)
        for name, field in model.model_fields.items()
    }
    assert len(fields) > 50
    assert [name for name, field in fields.items() if not field.description] == []


def test_configs_are_read_without_torch() -> None:
    code = "import sys; from xpert.experiment import load_preset, typical_design; " + (
        "typical_design(load_preset('quickstart')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def read(content: bytes, path: Path) -> SearchConfig | str:
    """What reading a file gives: a config, or the line that says why not."""
    path.write_bytes(content)
    try:
        return SearchConfig.read(path)
    except ConfigError as error:
        return str(error)


@given(st.binary(max_size=300))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    found = read(content, path)
    assert isinstance(found, str)
    assert found.startswith(str(path))
    assert found.isprintable()


@given(st.data())
def test_a_preset_with_a_part_replaced(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    text = preset_text("quickstart")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 60)))
    found = read((text[:start] + data.draw(st.text(max_size=20)) + text[end:]).encode(errors="surrogatepass"), path)
    if isinstance(found, str):
        assert found.startswith(str(path))
        assert found.isprintable()
    else:
        assert isinstance(typical_design(found), Design)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([10**400, "sar"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
PATHS = [
    (part, *name)
    for part, content in SearchConfig.parse(MINIMAL).model_dump().items()
    for name in ([()] + [(key,) for key in content] if isinstance(content, dict) else [()])
]


@given(st.sampled_from(PATHS), VALUES)
def test_one_value_replaced(path: tuple[Any, ...], value: Any) -> None:
    try:
        found = SearchConfig.parse(changed(*path, value=value), "c")
    except ConfigError as error:
        found = str(error)
    if isinstance(found, str):
        assert found.startswith("c: ")
        assert found.isprintable()
    else:
        text = yaml.safe_dump(found.model_dump(mode="json"))
        assert SearchConfig.parse(parse_mapping(text, "c.yaml", "config")) == found


def test_strategies_from_outside_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry, settings in ((STRATEGIES, ArchitectureSettings), (PRECISION_STRATEGIES, PrecisionSettings)):
        monkeypatch.setattr(registry, "_added", {})
        with pytest.raises(ConfigError, match=r"strategy: must be one of .*got 'luck'"):
            settings.parse({"strategy": "luck"})
        registry.register(registry.find(registry.names()[0]), "luck")
        assert settings.parse({"strategy": "luck"}).strategy == "luck"


@pytest.mark.parametrize("asked", [{"objective": "tops_per_watt"}, {"robust": ["nominal", "clock-chip"]}])
def test_what_pipelined_chips_have_no_search_for(asked: dict[str, Any]) -> None:
    chip = {"execution": "pipelined", "pipeline_speed_up": 4}
    (field,) = asked
    SearchConfig.parse(MINIMAL | {"architecture": asked})
    with pytest.raises(ConfigError, match=f"^architecture.{field}: .*not searched on pipelined chips$"):
        SearchConfig.parse(MINIMAL | {"chip": chip, "architecture": asked})
