"""Measurements as tasks: parts of a measurement are to the bit those of the whole, wherever they were made."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.experiment.test_pipeline import TINY
from xpert.analog import to_analog
from xpert.analog.accuracy import SampledChips
from xpert.analog.sampling import Sampling
from xpert.design import Design
from xpert.errors import RunError
from xpert.experiment import SearchConfig, tasks
from xpert.experiment.baselines import typical_of
from xpert.experiment.cluster import Engine
from xpert.experiment.config import search_space
from xpert.experiment.tasks import Images, RunTasks, SplitChips, measure
from xpert.experiment.trainings import load_split, new_model, recipe_of
from xpert.training import Dataset

IMAGES = Images("validation", None, 72, 16)

NOISY = {
    "device": {"cell": "rram", "read_noise_sigma": 0.05, "programming_sigma": 0.1},
    "analog": {"adc_noise": 0.5, "adaptive_batch_norm": True},
}
"""Read noise, ADC noise, and batch norms that chips measure."""


def apart(size: int, submitted: list[tuple[Any, ...]] | None = None) -> Engine:
    """As on a cluster, but in this process: a function of a module, and copies of plain data there and back."""

    class Shipping(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            assert not kwargs
            assert getattr(import_module(fn.__module__), fn.__name__) is fn
            if submitted is not None:
                submitted.append(args)
            done: Future[Any] = Future()
            done.set_result(plain(fn(*map(plain, args))))
            return done

    return Engine(Shipping(), lambda: size)


def plain(value: Any) -> Any:
    """A copy of what every worker understands: numbers, texts, bytes, and lists and mappings of these."""
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    assert value is None or type(value) in (bool, int, float, str, bytes), f"{type(value)} is no plain data"
    return value


class Setting:
    """A network, its design and its images, as a run has them."""

    def __init__(self, folder: Path, chip: dict[str, Any], **periphery: Any) -> None:
        self.config = SearchConfig.parse(TINY | {"threads": 1, "chip": chip})
        self.dataset: Dataset = load_split(self.config.dataset, self.config.seed, torch.device("cpu"))
        space, typical = search_space(self.config), self.config.baselines.typical
        self.design: Design = typical_of(space, self.config.chip, typical)
        self.model: nn.Module = new_model(
            self.design.network, recipe_of(self.config, self.config.training), self.dataset
        ).eval()
        self.folder = folder

    def chips(self, sampling: Sampling) -> SampledChips:
        test = IMAGES.of(self.dataset)
        analog = to_analog(self.model, self.design, generator=None, calibration=test.calibration)
        return SampledChips(analog, self.design, test, sampling)

    def split(self, sampling: Sampling, engine: Engine) -> SplitChips:
        split = RunTasks(engine, self.config, self.folder / "tasks", "cpu").split(self.model, self.design, IMAGES)
        assert split is not None
        found = split(self.chips(sampling))
        assert isinstance(found, SplitChips)
        return found


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("noisy"), NOISY)


@pytest.mark.parametrize("workers", [2, 9])
def test_parts_are_to_the_bit_those_of_the_whole(noisy: Setting, workers: int) -> None:
    """With everything that is random, in another order of images, on chips that do not begin with the first."""
    sampling = Sampling(seed=7, n_chips=3, batch_size=16, first_chip=2)
    order = torch.randperm(72, generator=torch.Generator().manual_seed(1))
    whole, submitted = noisy.chips(sampling), []
    split = noisy.split(sampling, apart(workers, submitted))
    whole.reorder(order)
    split.reorder(order)
    assert (split.n_images, split.at_once(noisy.design)) == (72, whole.at_once(noisy.design))
    for part in (slice(0, 70), slice(5, 72)):
        expected, found = whole.margins(noisy.design, images=part), split.margins(noisy.design, images=part)
        np.testing.assert_array_equal(found.correct, expected.correct)
        np.testing.assert_array_equal(found.margin, expected.margin)
    assert len(submitted) == 2 * {2: 2, 9: 6}[workers]
    assert 0.05 < whole.correct(noisy.design).mean() < 0.95, "answers differ"
    assert max(len(repr(one)) for one in submitted) < 40_000, "names and numbers go, not tensors"


def test_a_worker_keeps_its_chips(noisy: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another order or another design makes none anew, and what a task gives does not depend on those before it."""
    tasks._sampled.cache_clear()
    split = noisy.split(Sampling(seed=1, n_chips=1), apart(2))
    first = split.correct(noisy.design)
    split.reorder(torch.arange(72).flip(0))
    other = noisy.design.with_values(("adc_bits",), [(3,)] * len(noisy.design.periphery))
    assert not np.array_equal(split.correct(other)[:, ::-1], first)
    split.reorder(torch.arange(72).flip(0))
    np.testing.assert_array_equal(split.correct(noisy.design), first)
    assert tasks._sampled.cache_info().misses == 1


def test_other_versions_and_other_weights_are_refused(noisy: Setting) -> None:
    submitted: list[tuple[Any, ...]] = []
    noisy.split(Sampling(seed=1), apart(1, submitted)).correct(noisy.design)
    where, *rest = submitted[0]
    with pytest.raises(RunError, match=r"a worker has xpert .*, the command 0\.0\.0; use one version everywhere"):
        measure(json.dumps(json.loads(where) | {"version": "0.0.0"}), *rest)
    with pytest.raises(RunError, match=r"\.safetensors: a worker finds other weights there than the command wrote"):
        measure(json.dumps(json.loads(where) | {"digest": "0"}), *rest)
