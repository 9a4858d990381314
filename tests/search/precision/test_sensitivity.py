"""What a layer's noise costs the network, at the precisions of a design."""

from __future__ import annotations

import copy

import torch

from xpert.design import Chip, Design, Periphery
from xpert.networks import build, space
from xpert.networks.quantised import calibrate_quantisers, quantised_layers
from xpert.search.precision.sensitivity import noise_sensitivity


def test_sensitivities_are_the_designs_and_the_model_is_left_as_it_was() -> None:
    networks = space("resnet20", (4,), (1, 8, 8), 10)
    network = networks.network((4,) * networks.depth)
    images = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 10
    model = build(network, generator=torch.Generator().manual_seed(0))
    model(images)
    calibrate_quantisers(model, images)
    coarse = copy.deepcopy(model)
    for layer in quantised_layers(coarse).values():
        layer.set_precision(8, 2)

    def found(of: torch.nn.Module, bits: int) -> list[float]:
        design = Design.homogeneous(network, Chip(), Periphery(input_bits=bits))
        return noise_sensitivity(of, design, images, labels, seed=0, draws=2).tolist()

    assert found(model, 2) == found(coarse, 2) != found(model, 8)
    assert {layer.input_bits for layer in quantised_layers(model).values()} == {8}
    assert model.training
