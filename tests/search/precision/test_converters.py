"""ADC type and column sharing for given precisions, held to evaluations of whole designs."""

from __future__ import annotations

import numpy as np
import pytest

from xpert.design import PRECISION_FIELDS, Design, Periphery
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.search.precision.converters import cheapest_converters, peripheries

NETWORK = space("vgg11", (32, 64), (3, 32, 32), 10).network([64] * 8)
KINDS = [(kind, columns) for kind in ("sar", "flash") for columns in (2, 8)]
PRECISIONS = [(adc, bits) for adc in (3, 5, 6) for bits in (2, 4, 8)]
DESIGN = Design(
    network=NETWORK,
    periphery=tuple(Periphery(columns_per_adc=8, adc_bits=adc, input_bits=bits) for adc, bits in PRECISIONS),
)


def value(design: Design, objective: str) -> float:
    return objective_value(evaluate(design), objective)


def neighbours(design: Design) -> list[Design]:
    """All designs in which one layer has another kind of ADC or sharing."""
    found = []
    for layer, entry in enumerate(design.periphery):
        for adc_type, columns in KINDS:
            periphery = list(design.periphery)
            periphery[layer] = entry.replace(adc_type=adc_type, columns_per_adc=columns)
            found.append(design.replace(periphery=tuple(periphery)))
    return found


@pytest.mark.parametrize("objective", ["energy", "edap"])
def test_no_other_choice_of_one_layer_is_much_better(objective: str) -> None:
    """Up to what one layer changes in the others' costs."""
    found = cheapest_converters(DESIGN, KINDS, Goal(objective))
    assert [(entry.adc_bits, entry.input_bits) for entry in found.periphery] == PRECISIONS
    assert value(found, objective) < 0.95 * value(DESIGN, objective)
    assert value(found, objective) <= 1.015 * min(value(other, objective) for other in neighbours(found))


def test_budgets_are_kept_and_used() -> None:
    free = evaluate(cheapest_converters(DESIGN, KINDS, Goal("latency")))
    smallest = evaluate(cheapest_converters(DESIGN, KINDS, Goal("area")))
    budget = Budgets(area_mm2=float(np.sqrt(free.area * smallest.area)) * 1e6)
    found = evaluate(cheapest_converters(DESIGN, KINDS, Goal("latency", budget)))
    assert budget.met(found)
    # Smaller tiles have shorter wires, which the context of the larger ones does not show.
    assert 0.99 * free.latency < found.latency < smallest.latency


def test_copies_follow_the_precisions_too() -> None:
    copies = [(*kind, count) for kind in KINDS for count in (None, 1, 64)]
    plain, found = (cheapest_converters(DESIGN, kinds, Goal("latency")) for kinds in (KINDS, copies))
    assert {entry.copies for entry in plain.periphery} == {None}
    assert 64 in {entry.copies for entry in found.periphery}
    assert value(found, "latency") < value(plain, "latency")


@pytest.mark.parametrize("objective", ["throughput", "edap"])
def test_a_pipelined_chip_is_as_fast_as_its_slowest_layer(objective: str) -> None:
    """What is chosen is at least as good as any change of two layers, up to what that changes in the others' costs."""
    chip = DESIGN.chip.replace(execution="pipelined", pipeline_speed_up=4)
    kinds = [(*kind, count) for kind in KINDS for count in (1, 16)]
    found = cheapest_converters(DESIGN.replace(chip=chip), kinds, Goal(objective))
    choices = [peripheries(kinds, entry, [entry.values(PRECISION_FIELDS)]) for entry in found.periphery]
    least = value(found, objective)
    draw = np.random.default_rng(0)
    for _ in range(60):
        entries = list(found.periphery)
        for layer in draw.choice(len(entries), 2, replace=False):
            entries[layer] = choices[layer][draw.integers(len(kinds))]
        assert least <= 1.02 * value(found.replace(periphery=tuple(entries)), objective)
    assert least < value(DESIGN.replace(chip=chip), objective)


def test_what_cannot_keep_them_is_returned_all_the_same() -> None:
    found = cheapest_converters(DESIGN, KINDS, Goal("edap", Budgets(area_mm2=1e-6)))
    assert value(found, "edap") == value(cheapest_converters(DESIGN, KINDS, Goal("edap")), "edap")


def test_no_other_kinds_leave_the_design() -> None:
    assert cheapest_converters(DESIGN, [("sar", 8)], Goal("edap")) == DESIGN
