"""How new networks start, and fine-tuning at low precisions: what it gains on chips, and what it leaves alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import ni_accuracy
from xpert.design import AnalogSettings, Chip, Design, Network, Periphery
from xpert.experiment.config import PrecisionSettings
from xpert.experiment.trainings import Recipe, finetune, train_new
from xpert.networks import build, space
from xpert.networks.quantised import quantised_layers
from xpert.training import Dataset, TrainingSettings, load_dataset

TRAINING = TrainingSettings(epochs=6, batch_size=64, precision="float32", weight_noise="device", weight_clip=2.0)
SETTINGS = PrecisionSettings(finetune_epochs=2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    torch.set_num_threads(1)
    return load_dataset("digits").split(0.25, 1)


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> Network:
    return space("vgg11", [(16,)] * 8, dataset.input_shape, dataset.num_classes).network([16] * 8)


@pytest.fixture(scope="module")
def trained(network: Network, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    checkpoint = tmp_path_factory.mktemp("trained") / "checkpoint"
    return train_new(network, Recipe(TRAINING, Chip(), 8, 1), dataset, checkpoint)[0]


def low_precision(network: Network, *, adaptive: bool, adc_bits: int) -> Design:
    chip = Chip(analog=AnalogSettings(adaptive_batch_norm=adaptive))
    return Design.homogeneous(network, chip, Periphery(adc_bits=adc_bits, input_bits=3))


def on_chips(model: nn.Module, design: Design, dataset: Dataset) -> float:
    images, calibration = dataset.validation_images, dataset.train_images[:128]
    return ni_accuracy(
        model,
        design,
        dataset.normalised(images),
        dataset.validation_labels,
        dataset.normalised(calibration),
        seed=1,
        chips=3,
        batch_size=128,
    ).mean


def test_a_new_network_starts_as_the_settings_say(tmp_path: Path) -> None:
    """Trained at hardly any learning rate, it is still what it started as."""
    pixels = torch.randint(0, 256, (32, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, none = torch.arange(32) % 2, (pixels[:0], torch.arange(0))
    dataset = Dataset("noise", ("even", "odd"), (0.5,), (0.3,), False, pixels, labels, *none, *none)
    network = space("vgg11", (4, 8), (1, 16, 16), 2).network((4, 4, 4, 4, 8, 8, 8, 8))
    for initialisation in ("he", "dirac"):
        settings = TrainingSettings(
            epochs=1, batch_size=32, learning_rate=1e-9, precision="float32", initialisation=initialisation
        )
        model, _ = train_new(network, Recipe(settings, Chip(), 8, 3), dataset, tmp_path / initialisation)
        expected = build(network, initialisation=initialisation, generator=torch.Generator().manual_seed(3))
        for layer, other in zip(quantised_layers(model).values(), quantised_layers(expected).values()):
            torch.testing.assert_close(layer.weight, other.weight, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("adaptive", "adc_bits", "gain"), [(False, 3, 0.15), (True, 3, 0.1)])
def test_finetuning_gains_on_chips_of_low_precision(
    network: Network, trained: nn.Module, dataset: Dataset, tmp_path: Path, adaptive: bool, adc_bits: int, gain: float
) -> None:
    design = low_precision(network, adaptive=adaptive, adc_bits=adc_bits)
    tuned = copy.deepcopy(trained)
    finetune(tuned, design, dataset, SETTINGS, TRAINING, 1, tmp_path / "checkpoint")
    assert on_chips(tuned, design, dataset) >= on_chips(trained, design, dataset) + gain


@pytest.mark.parametrize("way", ["cells", "simulation"])
def test_norms_keep_their_statistics_unless_chips_measure_them(
    network: Network, trained: nn.Module, dataset: Dataset, tmp_path: Path, way: str
) -> None:
    """However far the weights go from where they were."""
    few = replace(dataset, train_images=dataset.train_images[:256], train_labels=dataset.train_labels[:256])
    for adaptive in (False, True):
        design = low_precision(network, adaptive=adaptive, adc_bits=5)
        found: list[list[Tensor]] = []
        for rate in (1e-6, 0.01):
            tuned = copy.deepcopy(trained)
            settings = SETTINGS.replace(finetune=way, finetune_epochs=1, finetune_learning_rate=rate)
            finetune(tuned, design, few, settings, TRAINING, 1, tmp_path / f"{adaptive}-{rate}")
            found.append([norm.running_var for norm in tuned.modules() if isinstance(norm, nn.BatchNorm2d)])  # pyright: ignore[reportArgumentType]
        assert all(map(torch.equal, *found)) != adaptive


def test_input_ranges_follow_the_precision(
    network: Network, trained: nn.Module, dataset: Dataset, tmp_path: Path
) -> None:
    design = low_precision(network, adaptive=True, adc_bits=6)
    few = replace(dataset, train_images=dataset.train_images[:256], train_labels=dataset.train_labels[:256])
    tuned = copy.deepcopy(trained)
    finetune(tuned, design, few, SETTINGS.replace(finetune_epochs=1, finetune="cells"), TRAINING, 1, tmp_path / "c")
    # The image's range stays what images are.
    pairs = list(zip(quantised_layers(tuned).values(), quantised_layers(trained).values(), strict=True))[1:]
    assert sorted((after.input_clip / before.input_clip).item() for after, before in pairs)[len(pairs) // 2] < 0.8
