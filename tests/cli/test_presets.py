"""`xpert init` and `xpert presets`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from xpert.experiment import SearchConfig, load_preset, preset_names
from xpert.experiment.presets import preset_text


def test_presets_are_listed_and_printed(xpert: Callable) -> None:
    listed = xpert("presets").stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(preset_names())
    for name in preset_names():
        assert xpert("presets", name).stdout == preset_text(name)


@pytest.mark.parametrize("name", preset_names())
def test_init_writes_a_preset_to_start_from(xpert: Callable, tmp_path: Path, name: str) -> None:
    path = tmp_path / "my search.yaml"
    outcome = xpert("init", path, "--preset", name)
    assert outcome.code == 0
    assert f"xpert search '{path}' --out" in outcome.stdout
    assert SearchConfig.read(path) == load_preset(name)


def test_init_overwrites_only_when_told_to(
    xpert: Callable, refusal: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert xpert("init").code == 0
    Path("xpert.yaml").write_text("mine")
    assert refusal("init") == "xpert.yaml: exists already; add --force to overwrite it, or give another name"
    assert Path("xpert.yaml").read_text() == "mine"
    assert xpert("init", "--force").code == 0
    assert Path("xpert.yaml").read_text() == preset_text("quickstart")
