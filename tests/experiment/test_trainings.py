from __future__ import annotations

from pathlib import Path

import torch

from xpert.design import Chip
from xpert.experiment.trainings import Recipe, train_new
from xpert.networks import build, space
from xpert.networks.quantised import quantised_layers
from xpert.training import Dataset, TrainingSettings


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
