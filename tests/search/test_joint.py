"""The joint search against trying every design, and against two phases in turn."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from xpert.design import PRECISION_FIELDS, Chip, Design, Periphery
from xpert.errors import InfeasibleError
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.search.context import Effort
from xpert.search.joint import search_joint
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.search.quality.additive import quality_tables
from xpert.search.tabulate import Term

CHOICES = [[16]] * 6 + [[16, 32], [16, 32]]
SPACE = space("vgg11", CHOICES, (1, 16, 16), 10)
PRECISIONS = [(4, 4), (6, 8)]
START = Design(
    chip=Chip(),
    network=SPACE.network([16] * 8),
    periphery=(Periphery(columns_per_adc=8, adc_bits=6, input_bits=8),) * 9,
)
QUALITY = [
    np.array([[[float(index >= 6) * width] for width in ([*CHOICES, [10]][index])]] * len(source))
    for index, source in enumerate(([1], *CHOICES))
]
LOSSES = np.array([[0.001, 0.0]] * 6 + [[0.5, 0.1], [0.3, 0.05], [0.2, 0.02]])
FIXED = {"kinds": [("sar", 8)], "precisions": PRECISIONS, "losses": LOSSES, "goal": Goal("edap"), "effort": Effort()}


def searched(most_loss: float, least_quality: float, **changes: object):
    quality = Term(QUALITY, at_least=least_quality)
    return search_joint(SPACE, START, most_loss=most_loss, quality=quality, **FIXED | changes)


@pytest.mark.parametrize(("most_loss", "least_quality"), [(0.3, 48), (0.6, 32), (1.1, 64)])
def test_it_finds_what_trying_all_designs_finds(most_loss: float, least_quality: float) -> None:
    """The first six layers always take the cheap precision, which costs next to nothing: 2^5 designs are left."""
    found = searched(most_loss, least_quality)
    best = np.inf
    for widths in itertools.product([16, 32], repeat=2):
        for last in itertools.product([0, 1], repeat=3):
            choice = [0] * 6 + list(last)
            quality = sum(widths) + 10
            if LOSSES[np.arange(9), choice].sum() > most_loss or quality < least_quality:
                continue
            periphery = tuple(
                Periphery(columns_per_adc=8, adc_bits=PRECISIONS[k][0], input_bits=PRECISIONS[k][1]) for k in choice
            )
            design = Design(chip=Chip(), network=SPACE.network([16] * 6 + list(widths)), periphery=periphery)
            best = min(best, objective_value(evaluate(design), "edap"))
    assert objective_value(found.evaluation, "edap") == pytest.approx(best, rel=2e-3)
    assert found.predicted_loss <= most_loss * (1 + 1e-9)
    assert found.quality >= least_quality
    assert found.evaluation.to_dict() == evaluate(found.design).to_dict()


@pytest.mark.parametrize(("most_loss", "bits"), [(0.3, {(8, 4), (8, 2)}), (0.7, {(8, 4), (4, 4)})])
def test_precisions_of_weights_and_cells(most_loss: float, bits: set[tuple[int, int]]) -> None:
    """Of the last three layers each has one of three, the others the first: what is found is what trying all finds."""
    precisions = [(5, 6, 4, 4), (5, 6, 8, 4), (5, 6, 8, 2)]
    losses = np.array([[0.001, np.inf, np.inf]] * 6 + [[0.5, 0.3, 0.1], [0.3, 0.15, 0.05], [0.2, 0.1, 0.02]])
    networks = space("vgg11", [[16]] * 6 + [[16, 32], [16]], (1, 16, 16), 10)
    quality = Term([*QUALITY[:7], QUALITY[7][:, :1], QUALITY[8][:1]], at_least=42)
    changes = {"precisions": precisions, "losses": losses}
    found = search_joint(networks, START, most_loss=most_loss, quality=quality, **FIXED | changes)
    best = np.inf
    for width, last in itertools.product([16, 32], itertools.product(range(3), repeat=3)):
        choice = [0] * 6 + list(last)
        if losses[np.arange(9), choice].sum() <= most_loss:
            network = networks.network([16] * 6 + [width, 16])
            design = START.replace(network=network).with_values(PRECISION_FIELDS, [precisions[k] for k in choice])
            best = min(best, objective_value(evaluate(design), "edap"))
    assert objective_value(found.evaluation, "edap") == pytest.approx(best, rel=2e-3)
    last = found.design.periphery[-3:]
    assert {(entry.weight_bits, entry.cell_bits) for entry in last} == bits


def test_a_layer_that_is_left_out_loses_nothing() -> None:
    """The third layer is missing: what is found is what trying the others finds, and it stays missing."""
    kernels = (3, 3, 0, *[3] * 5, 1)
    missing = replace(SPACE, kernels=tuple((kernel,) for kernel in kernels))
    most_loss, least_quality = 0.6, 32
    network = missing.network([16] * 8, kernels)
    start = Design(chip=Chip(), network=network, periphery=START.periphery[:8])
    losses, quality = np.delete(LOSSES, 2, axis=0), [*QUALITY[:2], np.zeros((1, 1, 1)), *QUALITY[3:]]
    found = search_joint(
        missing, start, most_loss=most_loss, quality=Term(quality, at_least=least_quality),
        **FIXED | {"losses": losses},
    )  # fmt: skip
    best = np.inf
    for widths in itertools.product([16, 32], repeat=2):
        for last in itertools.product([0, 1], repeat=3):
            choice = [0] * 5 + list(last)
            if losses[np.arange(8), choice].sum() > most_loss or sum(widths) + 10 < least_quality:
                continue
            periphery = tuple(
                Periphery(columns_per_adc=8, adc_bits=PRECISIONS[k][0], input_bits=PRECISIONS[k][1]) for k in choice
            )
            network = missing.network([16] * 6 + list(widths), kernels)
            design = Design(chip=Chip(), network=network, periphery=periphery)
            best = min(best, objective_value(evaluate(design), "edap"))
    assert found.design.network.kernels == kernels
    assert objective_value(found.evaluation, "edap") == pytest.approx(best, rel=2e-3)
    assert found.predicted_loss <= most_loss * (1 + 1e-9)


def test_a_block_that_is_left_out_stays_out() -> None:
    """ResNet-20 without its second block: what is found is what trying the others finds."""
    channels = [16, 16, 0, *[16] * 7, 16, 16]
    missing = space("resnet20", [[width] for width in channels[:-1]] + [[16, 32]], (1, 8, 8), 10)
    network = missing.network(channels)
    start = Design(chip=Chip(), network=network, periphery=(START.periphery[0],) * len(network.layers))
    losses = np.array([[0.001, 0.0]] * 17 + [[0.5, 0.1], [0.3, 0.05], [0.2, 0.02]])
    assert len(losses) == len(network.layers)
    tables = quality_tables("macs", missing)
    least_quality, most_loss = 1.02 * network.macs, 0.7
    found = search_joint(
        missing, start, most_loss=most_loss, quality=Term(tables.tables, at_least=least_quality),
        **FIXED | {"losses": losses},
    )  # fmt: skip
    best = np.inf
    wider = missing.network([*channels[:-1], 32])
    assert wider.macs >= least_quality
    for last in itertools.product([0, 1], repeat=3):
        choice = [0] * 17 + list(last)
        if losses[np.arange(20), choice].sum() <= most_loss:
            periphery = tuple(
                Periphery(columns_per_adc=8, adc_bits=PRECISIONS[k][0], input_bits=PRECISIONS[k][1]) for k in choice
            )
            design = Design(chip=Chip(), network=wider, periphery=periphery)
            best = min(best, objective_value(evaluate(design), "edap"))
    assert found.design.network == wider
    assert objective_value(found.evaluation, "edap") == pytest.approx(best, rel=2e-3)
    assert found.quality == wider.macs
    assert found.predicted_loss <= most_loss * (1 + 1e-9)


def test_bounds_that_nothing_meets_are_said() -> None:
    with pytest.raises(InfeasibleError, match="loss"):
        searched(0.1, 32)


def test_an_area_budget_that_nothing_keeps_is_said() -> None:
    with pytest.raises(InfeasibleError, match=r"area budget 1 mm2: the smallest design needs 6\.\d"):
        searched(1.1, 32, goal=Goal("edap", Budgets(area_mm2=1.0)))
