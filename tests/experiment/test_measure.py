"""What a trained network does on a design, whatever precisions it was trained at."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Chip, Design, Periphery
from xpert.experiment.measure import measure_accuracy
from xpert.networks import build, space
from xpert.networks.quantised import calibrate_quantisers, quantised_layers


@pytest.fixture
def trained() -> nn.Module:
    network = NETWORK
    model = build(network, generator=torch.Generator().manual_seed(0))
    model(IMAGES)  # running statistics of batch norm
    calibrate_quantisers(model, IMAGES)
    return model


_SPACE = space("resnet20", (4,), (1, 8, 8), 10)
NETWORK = _SPACE.network((4,) * _SPACE.depth)
IMAGES = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(0))


def test_accuracies_are_the_designs_and_the_model_is_left_as_it_was(trained: nn.Module) -> None:
    design = Design.homogeneous(NETWORK, Chip(rows=16, columns=16), Periphery(adc_bits=6, input_bits=2))
    coarse = copy.deepcopy(trained).eval()
    for layer in quantised_layers(coarse).values():
        layer.set_precision(8, 2)
    with torch.no_grad():
        labels = coarse(IMAGES).argmax(dim=1)
        fine = trained.eval()(IMAGES).argmax(dim=1)
    trained.train()
    found = measure_accuracy(trained, design, TestSet(IMAGES, labels, IMAGES), Sampling(0, 2, batch_size=8)).accuracy
    assert found.quantised == 1
    assert (fine == labels).float().mean() < 1  # two bits are another network than eight
    assert {layer.input_bits for layer in quantised_layers(trained).values()} == {8}
    assert trained.training
    again = measure_accuracy(coarse, design, TestSet(IMAGES, labels, IMAGES), Sampling(0, 2, batch_size=8)).accuracy
    assert again == found
