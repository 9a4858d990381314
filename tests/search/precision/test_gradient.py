"""Phase 2 by gradient: every choice has a gradient of its own, and better ones gain."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import analog_layers, to_analog
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Chip, Design, Device, Network, Periphery
from xpert.networks.quantised import QuantConv2d, QuantLinear, calibrate_quantisers
from xpert.search.objectives import Goal
from xpert.search.precision.bench import ChipBench
from xpert.search.precision.gradient import (
    GradientSettings,
    Mixture,
    expected_log_objective,
    gradient,
    two_by_chance,
)
from xpert.search.precision.session import Bench, search_precision
from xpert.workload.trace import trace

CHIP = Chip(rows=16, columns=16, device=Device(programming_sigma=0.02))


def problem() -> tuple[nn.Module, Design, Tensor, Tensor]:
    """A small trained network that tells images bright above from images bright below."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(128) % 2
    images = 0.6 * torch.rand(128, 1, 8, 8, generator=generator)
    images[labels == 0, :, :4] += 0.25
    images[labels == 1, :, 4:] += 0.25
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = QuantConv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), QuantLinear(24, 2)
    model = nn.Sequential(*layers)
    calibrate_quantisers(model, images)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()
    network = Network(backbone="custom", input_shape=(1, 8, 8), layers=trace(model, (1, 8, 8)))
    design = Design.homogeneous(network, CHIP, Periphery(columns_per_adc=8, adc_bits=6, input_bits=6))
    return model.eval(), design, images, labels


def test_two_draws_differ_and_follow_the_chances() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.0, -8.0])
    drawn = torch.stack([two_by_chance(logits, generator) for _ in range(3000)])
    assert (drawn[:, 0] != drawn[:, 1]).all()
    shares = drawn[:, 0].bincount(minlength=4) / 3000
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.03, rtol=0)
    assert two_by_chance(torch.zeros(1), generator).tolist() == [0]


def test_choices_of_a_layer_get_gradients_of_their_own() -> None:
    """The published estimator gave all choices one number. Here a choice nearer to the wanted output gains."""
    model, design, images, _ = problem()
    layer = analog_layers(to_analog(model, design, generator=None, calibration=images))["0"]
    wanted = layer.layer(images).detach()
    options = [(3, 6), (8, 6)]
    for values in ([0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]):
        logits = torch.tensor(values, requires_grad=True)
        mixture = Mixture(layer, options, logits, torch.Generator().manual_seed(0))
        F.mse_loss(mixture(images), wanted).backward()
        assert logits.grad is not None
        coarse, fine = logits.grad.tolist()
        assert fine < 0 < coarse
        assert coarse == pytest.approx(-fine, rel=1e-5)  # shares add up to one, in float32


def test_gradients_of_the_mixture_are_those_of_its_formula() -> None:
    """Against finite differences of the loss in the logits; the drawn pair stays."""
    model, design, images, _ = problem()
    layer = analog_layers(to_analog(model, design, generator=None, calibration=images))["0"]
    target = torch.randn(128, 6, 8, 8, generator=torch.Generator().manual_seed(1))

    def loss(logits: Tensor) -> Tensor:
        mixture = Mixture(layer, [(3, 2), (4, 4), (5, 6)], logits, torch.Generator().manual_seed(0))
        return F.mse_loss(mixture(images), target)

    logits = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    loss(logits).backward()
    assert logits.grad is not None
    for index in range(3):
        step = torch.zeros(3)
        step[index] = 0.05
        difference = (loss(logits.detach() + step) - loss(logits.detach() - step)).item() / 0.1
        assert float(logits.grad[index]) == pytest.approx(difference, abs=2e-4 + 0.02 * abs(difference))
    assert (logits.grad == 0).sum() == 1  # the one that was not drawn


def test_the_expected_objective_falls_towards_cheap_choices() -> None:
    tables = torch.tensor([[[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]], [[3.0, 3.0, 6.0], [2.0, 1.0, 2.0]]]).double()
    constants = torch.tensor([0.5, 0.0]).double()
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: expected_log_objective(x, tables, constants), logits)
    sure = torch.tensor([[50.0, 0, 0], [0, 50.0, 0]]).double()
    assert expected_log_objective(sure, tables, constants).exp().item() == pytest.approx((1 + 1 + 0.5) * (3 + 1))
    expected_log_objective(logits, tables, constants).backward()
    assert logits.grad is not None
    first, second = logits.grad
    assert first[0] < first[1] < first[2]
    assert second[1] < second[0] == second[2]


def test_it_finds_cheaper_precisions_that_suffice_and_is_repeatable() -> None:
    model, design, images, labels = problem()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def bench_of(tuned: nn.Module) -> ChipBench:
        return ChipBench(tuned, design, TestSet(images, labels, images[:32]), Sampling(5, 2))

    options = [(3, 2), (4, 4), (6, 6)]
    bench = Bench.of(bench_of(model), design, 0.02, None)
    strategy = gradient(model, images, labels, images[:32], bench_of, GradientSettings(steps=15, batch_size=32))
    results = [
        search_precision(design, strategy, options=options, goal=Goal("edap"), bench=bench, seed=1) for _ in range(2)
    ]
    first, second = results
    assert [one.design for one in first.measured] == [one.design for one in second.measured]
    assert first.best.feasible
    assert first.best.evaluation.to_dict()["edap"] < first.measured[0].evaluation.to_dict()["edap"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    # What is reported was measured with the weights that come with it.
    assert first.best.weights is not None
    tuned = copy.deepcopy(model)
    tuned.load_state_dict(first.best.weights)
    correct = bench_of(tuned)(first.best.design)
    assert first.best.accuracy.mean == correct.mean()
    assert np.array_equal(bench_of(model)(design), bench.reference)
