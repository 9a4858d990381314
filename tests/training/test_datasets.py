"""Data sets from outside go the whole way: loaded, trained on, searched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xpert.errors import ConfigError, DataError
from xpert.experiment.config import SearchConfig, search_space
from xpert.networks import build
from xpert.progress import Progress, Report
from xpert.training import TrainingSettings, load_dataset, train
from xpert.training.datasets import DATASETS
from xpert.training.source import DataRequest, DatasetInfo, DataSource, RawImages

pytestmark = pytest.mark.usefixtures("own_entries")

INFO = DatasetInfo(name="halves", input_shape=(2, 16, 16), classes=("upper", "lower"), mirror=True)
"""Images whose upper or lower half is the brighter one."""


def halves(_folder: Path, _progress: Report | None) -> RawImages:
    labels = torch.arange(80) % 2
    images = torch.randint(0, 100, (80, 2, 16, 16), generator=torch.Generator().manual_seed(0))
    bright = (torch.arange(16) >= 8) == labels[:, None].bool()  # [n, height]
    images = (images + 150 * bright[:, None, :, None]).to(torch.uint8)
    return RawImages(images[:64], labels[:64], images[64:], labels[64:])


def test_a_data_set_from_outside_is_trained_on() -> None:
    DATASETS.register(DataSource(INFO, halves))
    config = SearchConfig.parse(
        {"name": "halves", "network": {"backbone": "vgg11", "choices": [4, 8]}, "dataset": {"name": "halves"}}
    )
    networks = search_space(config)
    assert (networks.input_shape, networks.num_classes) == ((2, 16, 16), 2)
    dataset = load_dataset("halves").split(0.25, 0)
    assert dataset.mirror
    settings = TrainingSettings(epochs=6, batch_size=16, shift=0, calibration_images=16)
    result = train(build(networks.network((8,) * 8)), dataset, settings, seed=0)
    assert result.curves[-1]["validation_accuracy"] > 0.9


def test_statistics_are_those_of_the_training_images() -> None:
    DATASETS.register(DataSource(INFO, halves))
    dataset = load_dataset("halves")
    shares = dataset.train_images.double() / 255
    assert dataset.mean == pytest.approx(shares.mean((0, 2, 3)).tolist())
    assert dataset.std == pytest.approx(shares.std((0, 2, 3), correction=0).tolist())
    assert dataset.train_images.is_contiguous(memory_format=torch.channels_last)


def test_the_folder_and_progress_reach_the_loader(tmp_path: Path) -> None:
    reports: list[Progress] = []

    def load(folder: Path, progress: Report | None) -> RawImages:
        assert progress is not None
        progress(Progress(figures={"folder": folder}))
        return halves(folder, progress)

    DATASETS.register(DataSource(INFO, load))
    load_dataset("halves", str(tmp_path), reports.append)
    load_dataset("halves", None, reports.append)
    assert [report.figures for report in reports] == [{"folder": tmp_path}, {"folder": Path("data")}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: p._replace(train_images=p.train_images.float()),
            "training images must be n x 2 x 16 x 16 of torch.",
        ),
        (lambda p: p._replace(test_images=p.test_images[:, :1]), "test images must be .* got 16 x 1 x 16 x 16 of"),
        (lambda p: p._replace(test_images=p.test_images[:0]), "test images must be .* got 0 x 2 x 16 x 16 of"),
        (
            lambda p: p._replace(train_labels=p.train_labels[1:]),
            "training images need 64 labels of torch.int64, got",
        ),
        (lambda p: p._replace(test_labels=p.test_labels.int()), "test images need 16 labels of torch.int64, got 16 of"),
        (lambda p: p._replace(test_labels=p.test_labels + 1), "test images must have labels 0 ... 1, got 1 ... 2"),
        (lambda p: p._replace(test_labels=p.test_labels - 1), "test images must have labels 0 ... 1, got -1 ... 0"),
    ],
)
def test_what_is_not_as_announced_is_refused(change: Callable[[RawImages], RawImages], message: str) -> None:
    DATASETS.register(DataSource(INFO, lambda folder, progress: change(halves(folder, progress))))
    with pytest.raises(DataError, match=f"data set halves: {message}"):
        load_dataset("halves")


def test_a_network_that_does_not_take_the_images_is_refused() -> None:
    DATASETS.register(DataSource(replace(INFO, input_shape=(2, 12, 12)), halves))
    data = {"name": "halves", "network": {"backbone": "vgg11", "choices": [4, 8]}, "dataset": {"name": "halves"}}
    with pytest.raises(ConfigError, match="network: vgg11 takes square images of a multiple of 16, got 12x12"):
        SearchConfig.parse(data)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "digits"])
def test_shipped_data_sets_describe_themselves(name: str) -> None:
    info = DATASETS.find(name).describe(DataRequest(name))
    assert info.name == name
    assert len(set(info.classes)) == len(info.classes) >= 2
    for values in (info.mean, info.std):
        assert values is None or len(values) == info.input_shape[0]
