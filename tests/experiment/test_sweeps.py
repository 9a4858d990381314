"""Many runs of one config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.experiment.test_pipeline import TINY
from xpert.cli.values import parse_settings
from xpert.errors import ConfigError, RunError
from xpert.experiment import SearchConfig, sweeps
from xpert.experiment.cluster import HERE
from xpert.experiment.sweeps import run_sweep, swept_runs


def test_every_combination_is_a_run() -> None:
    settings = parse_settings(["seed=0,1", "precision.maximum_drop=0.01,0.02"])
    runs = swept_runs(SearchConfig.parse(TINY), settings)
    assert [run.folder for run in runs] == [
        f"seed={seed},precision.maximum_drop={drop}" for seed in (0, 1) for drop in (0.01, 0.02)
    ]
    assert [(run.config.seed, run.config.precision.maximum_drop) for run in runs] == [
        (0, 0.01), (0, 0.02), (1, 0.01), (1, 0.02)
    ]  # fmt: skip
    assert runs[0].config.training == SearchConfig.parse(TINY).training


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "expected KEY=VALUE,VALUE,..."),
        ("seed=1,1", "seed: a value stands twice"),
        ("seeds=1", "seeds"),
        ("seed.x=1", "no setting 'seed.x': seed holds no settings"),
        ("precision.maximum_drop=2", "precision.maximum_drop"),
    ],
)
def test_settings_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        swept_runs(SearchConfig.parse(TINY), parse_settings([text]))
    assert message in str(refusal.value)


def test_a_run_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is finished is not run again."""
    made: list[str] = []

    def run_search(config: SearchConfig, out: Path, **_: object) -> None:
        made.append(out.name)
        if config.seed == 1:
            raise RunError("no space")
        out.mkdir()
        (out / "results.json").write_text(json.dumps({}))

    monkeypatch.setattr(sweeps, "run_search", run_search)
    runs = swept_runs(SearchConfig.parse(TINY), {"seed": [0, 1, 2]})
    with pytest.raises(RunError, match="1 of 3 runs failed: seed=1: no space"):
        run_sweep(runs, tmp_path, engine=HERE)
    assert made == ["seed=0", "seed=1", "seed=2"]
    with pytest.raises(RunError, match="is not empty; add --resume"):
        run_sweep(runs, tmp_path, engine=HERE)
    with pytest.raises(RunError, match="1 of 3 runs failed"):
        run_sweep(runs, tmp_path, resume=True, engine=HERE)
    assert made[3:] == ["seed=1"]
