"""Files of version 1, whose chips had their encoding among the analog settings."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from xpert.design import SCHEMA, Chip, Design, Layer, Network, Periphery
from xpert.errors import ConfigError
from xpert.experiment import SearchConfig

SHAPE = {"in_channels": 4, "in_height": 1, "in_width": 1, "kernel_height": 1, "kernel_width": 1}
NETWORK = Network(backbone="custom", layers=(Layer.model_validate({"name": "a", "out_channels": 8, **SHAPE}),))
DESIGN = Design.homogeneous(NETWORK, Chip(encoding="differential"), Periphery())


def version_1(data: dict[str, Any]) -> dict[str, Any]:
    """The same data as version 1 had it."""
    old = copy.deepcopy(data) | {"schema_version": 1}
    old["chip"].setdefault("analog", {})["encoding"] = old["chip"].pop("encoding")
    return old


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_a_design_of_version_1_is_read_and_written_anew(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"design.{ending}"
    path.write_text(json.dumps(version_1(DESIGN.model_dump(mode="json"))))
    design = Design.read(path)
    assert design == DESIGN
    design.write(path)
    written = json.loads(path.read_text())
    assert (written["schema_version"], written["chip"]["encoding"]) == (2, "differential") == (SCHEMA, "differential")
    assert "encoding" not in written["chip"]["analog"]


def test_a_mapping_without_a_version_may_be_old_or_new() -> None:
    data = DESIGN.model_dump(mode="json")
    old = version_1(data)
    del data["schema_version"], old["schema_version"]
    given = copy.deepcopy(old)
    assert Design.parse(data) == Design.parse(old) == Design.model_validate(old) == DESIGN
    assert old == given  # reading changes nothing in it
    assert Chip.parse({"analog": {"encoding": "differential", "ir_drop": True}}) == Chip.parse(
        {"encoding": "differential", "analog": {"ir_drop": True}}
    )


def test_both_places_must_agree() -> None:
    assert Chip.parse({"encoding": "differential", "analog": {"encoding": "differential"}}) == DESIGN.chip
    with pytest.raises(ConfigError, match=r"encoding is 'offset', but .*'differential': give one"):
        Chip.parse({"encoding": "offset", "analog": {"encoding": "differential"}})


def test_a_config_of_version_1_is_the_same_config() -> None:
    data = {
        "name": "small",
        "network": {"backbone": "vgg11", "choices": [8, 16]},
        "dataset": {"name": "digits"},
        "chip": {"encoding": "differential"},
    }
    config = SearchConfig.parse(data)
    assert SearchConfig.parse(version_1(data)) == config
    assert config.replace(name="other").schema_version == SCHEMA


@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_unknown_versions_are_refused(version: Any) -> None:
    data = DESIGN.model_dump(mode="json") | {"schema_version": version}
    with pytest.raises(ConfigError, match=r"^d\.json: schema_version: this XPert reads versions 1 to 2, got "):
        Design.parse(data, "d.json")
