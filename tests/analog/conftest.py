"""A small quantised network, its design and its images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from xpert.design import Chip, Design, Network, Periphery
from xpert.networks.quantised import QuantConv2d, QuantLinear, calibrate_quantisers
from xpert.workload.trace import trace

SHAPE = (3, 10, 10)


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.randn((12, *SHAPE), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def model(images: torch.Tensor) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            QuantConv2d(3, 8, 3, padding=1, bias=False, signed_input=True),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            QuantConv2d(8, 12, 3, stride=2, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            QuantConv2d(12, 16, 3, padding=1, bias=True),
            nn.ReLU(),
            nn.AvgPool2d(5),
            nn.Flatten(),
            QuantLinear(16, 10),
        )
        model(images)  # running statistics of batch norm
        calibrate_quantisers(model, images)
    return model.eval()


@pytest.fixture(scope="session")
def design_of(model: nn.Module) -> Callable[..., Design]:
    """Designs of the network; keywords: parts of `chip`, `adc_bits`, `input_bits`, and `sigma`."""
    network = Network(backbone="custom", input_shape=SHAPE, layers=trace(model, SHAPE))

    def make(adc_bits: int = 6, input_bits: int = 8, sigma: float = 0.0, **chip: object) -> Design:
        parsed = Chip.parse({"rows": 16, "columns": 16, "device": {"programming_sigma": sigma}, **chip})
        return Design.homogeneous(network, parsed, Periphery(adc_bits=adc_bits, input_bits=input_bits))

    return make
