"""Phase 2 with an accuracy that is known by formula, and what all its strategies promise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import PRECISION_FIELDS, AnalogSettings, Chip, Design, Network, Periphery
from xpert.hardware import evaluate
from xpert.networks.spaces import space
from xpert.progress import Progress
from xpert.search.objectives import Budgets, Goal, objective_value
from xpert.search.precision.evolution import evolution
from xpert.search.precision.looks import Enough, Looks
from xpert.search.precision.sensitivity import sensitivity
from xpert.search.precision.session import Bench, PrecisionResult, Session, Strategy, search_precision
from xpert.statistics import Bools

LAYERS = space("vgg11", (16, 32), (1, 16, 16), 10).network([16] * 8).layers[-4:]
NETWORK = Network(backbone="custom", input_shape=(16, 1, 1), layers=LAYERS)
# ADCs without offsets of their own, so that their kinds change no sum.
CHIP = Chip(analog=AnalogSettings(adc_offset_sigma=0))
DESIGN = Design(network=NETWORK, chip=CHIP, periphery=(Periphery(columns_per_adc=8, adc_bits=6, input_bits=8),) * 4)
OPTIONS = [(adc, bits) for adc in (3, 4, 6) for bits in (2, 4, 8)]
ERRORS = np.array([[4.0**-adc + 4.0**-bits for adc, bits in OPTIONS]] * 4)
IMAGES = 4000


def accuracy_of(design: Design, weights: np.ndarray) -> float:
    errors = [4.0**-entry.adc_bits + 4.0**-entry.input_bits for entry in design.periphery]
    return float(np.clip(1 - np.dot(errors, weights), 0, 1))


def chips(weights: np.ndarray, shuffle: int = 0, flatter: Callable[[Design], float] | None = None) -> Any:
    """What a bench sees of a design whose accuracy is known: every image is right up to a difficulty of its own."""
    difficulty = np.random.default_rng(shuffle).permutation(np.arange(IMAGES)) / IMAGES

    def correct(design: Design) -> Bools:
        bonus = flatter(design) if flatter else 0.0
        return np.stack([difficulty < accuracy_of(design, weights) + bonus] * 2)

    return correct


class Looked:
    """A bench of known accuracies that can stop, where the nominal design's margins tell which images are hard.

    Args:
        weights: Of the layers' errors.
        spoil: Changes the answers of a design, in order.
    """

    def __init__(self, weights: np.ndarray, spoil: Callable[[Design, Bools, Looks], None] | None = None) -> None:
        self._correct, self._spoil = chips(weights), spoil
        self.looks: Looks | None = None
        self.images = 0

    def __call__(self, design: Design) -> Bools:
        return self.until(design, lambda _: False)

    def nominal(self, design: Design) -> Bools:
        difficulty = np.random.default_rng(0).permutation(np.arange(IMAGES)) / IMAGES
        self.looks = Looks.hardest_first(self._correct(design).mean(axis=0) - 0.5 - 0.1 * difficulty, 1)
        return self._correct(design)[:, self.looks.order]

    def until(self, design: Design, enough: Enough) -> Bools:
        assert self.looks is not None
        answers = self._correct(design)
        answers = answers[:, self.looks.order]
        if self._spoil is not None:
            self._spoil(design, answers, self.looks)
        for end in self.looks.ends:
            if enough(answers[:, :end]) or end == IMAGES:
                self.images += end
                return answers[:, :end]
        raise AssertionError


def searched(
    weights: np.ndarray, *, drop: float | None = None, floor: float | None = None, strategy: Strategy | None = None,
    objective: str = "edap", budgets: Budgets | None = None, **options: Any,
) -> PrecisionResult:  # fmt: skip
    bench = Bench.of(chips(weights), DESIGN, drop, floor)
    chosen = strategy or sensitivity(ERRORS, weights)
    return search_precision(
        DESIGN, chosen, options=OPTIONS, goal=Goal(objective, budgets or Budgets()), bench=bench, **options
    )


STRATEGIES: dict[str, Callable[[np.ndarray], Strategy]] = {
    "sensitivity": lambda weights: sensitivity(ERRORS, weights, bisections=3),
    "evolution": lambda weights: evolution(population=6, generations=3),
}


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=2, deadline=None)
@given(values=st.lists(st.floats(0.01, 1), min_size=4, max_size=4), drop=st.floats(0, 0.4))
def test_the_result_was_measured_and_reaches_the_floor(name: str, values: list[float], drop: float) -> None:
    weights = np.array(values)
    result = searched(weights, drop=drop, strategy=STRATEGIES[name](weights))
    measured = chips(weights)
    assert result.best in result.measured
    assert result.best.feasible
    assert result.best.accuracy.mean == measured(result.best.design).mean()
    for entry in result.measured:
        assert entry.accuracy.low <= entry.accuracy.mean <= entry.accuracy.high
        assert entry.difference.mean == pytest.approx(entry.accuracy.mean - measured(DESIGN).mean())
        assert entry.feasible == (entry.accuracy.mean >= measured(DESIGN).mean() - drop)
        if entry.feasible:
            assert objective_value(result.best.evaluation, "edap") <= objective_value(entry.evaluation, "edap")
    front = [(objective_value(entry.evaluation, "edap"), entry.accuracy.mean) for entry in result.front]
    assert front == sorted(front)
    for entry in result.measured:
        cost = objective_value(entry.evaluation, "edap")
        assert any(c <= cost and a >= entry.accuracy.mean for c, a in front)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_seed_decides_and_the_limit_stops(name: str) -> None:
    weights = np.linspace(0.05, 0.9, 4)
    reports: list[Progress] = []
    results = [
        searched(weights, drop=0.02, strategy=STRATEGIES[name](weights), seed=3, progress=reports.append)
        for _ in range(2)
    ]
    assert [one.design for one in results[0].measured] == [one.design for one in results[1].measured]
    assert results[0].status == "finished"
    assert {"tried", "ni_accuracy", "feasible", "edap"} <= reports[0].figures.keys()
    short = searched(weights, drop=0.02, strategy=STRATEGIES[name](weights), seed=3, evaluations=5)
    assert short.status == "evaluations"
    assert [one.design for one in short.measured] == [one.design for one in results[0].measured[:5]]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_every_objective_is_lowered(name: str, objective: str) -> None:
    weights = np.linspace(0.05, 0.9, 4)
    result = searched(weights, drop=0.05, strategy=STRATEGIES[name](weights), objective=objective)
    before = objective_value(evaluate(DESIGN), objective)
    assert objective_value(result.best.evaluation, objective) < 0.8 * before


def test_it_finds_the_cheapest_precisions() -> None:
    # Two layers matter and the rest do not: all 81 designs of those two can be tried.
    weights = np.array([1e-9] * 2 + [1.0, 0.5])
    result = searched(weights, floor=0.99, strategy=sensitivity(ERRORS, weights, bisections=8))
    coarse = Periphery(columns_per_adc=8, adc_bits=3, input_bits=2)
    best = np.inf
    for first, second in itertools.product(OPTIONS, repeat=2):
        last = [coarse.replace(adc_bits=adc, input_bits=bits) for adc, bits in (first, second)]
        design = DESIGN.replace(periphery=(coarse,) * 2 + tuple(last))
        if accuracy_of(design, weights) >= 0.99:
            best = min(best, objective_value(evaluate(design), "edap"))
    # Tables hold in the context of one design only, and slots of the floorplan change with precisions.
    assert objective_value(result.best.evaluation, "edap") == pytest.approx(best, rel=0.01)


def test_it_finds_the_cheapest_precisions_of_weights_and_cells() -> None:
    """And the best periphery for all layers alike is the best of all that there are."""
    options = [(4, 4, None, None), (4, 4, None, 2), (4, 4, 4, None)]
    errors = np.array([4.0 ** -(bits or 8) + 1e-3 * (cell or 4) for _, _, bits, cell in options])
    weights = np.array([8.0, 2.0, 0.5, 0.1])

    def truth(design: Design) -> Bools:
        index = [options.index(entry.values(PRECISION_FIELDS)) for entry in design.periphery]
        return np.stack([np.arange(IMAGES) / IMAGES < 1 - np.dot(errors[index], weights)] * 2)

    design = DESIGN.with_values(PRECISION_FIELDS, [options[1]] * 4)
    result = search_precision(
        design, sensitivity(np.tile(errors, (4, 1)), weights), options=options, goal=Goal("edap"),
        bench=Bench.of(truth, design, 0.02, None), single_kinds=[("sar", 8)],
    )  # fmt: skip
    least = float(truth(design).mean()) - 0.02
    cheapest, single = np.inf, np.inf
    for rows in itertools.product(options, repeat=4):
        other = design.with_values(PRECISION_FIELDS, rows)
        if truth(other).mean() >= least:
            value = objective_value(evaluate(other), "edap")
            cheapest, single = min(cheapest, value), min(single, value if len(set(rows)) == 1 else np.inf)
    assert objective_value(result.best.evaluation, "edap") == pytest.approx(cheapest, rel=0.01)
    assert result.single is not None
    assert objective_value(result.single.evaluation, "edap") == pytest.approx(single, rel=1e-9)
    assert cheapest < 0.97 * single
    assert len({entry.weight_bits for entry in result.best.design.periphery}) > 1


def test_measurements_correct_a_wrong_prediction() -> None:
    """The model believes the first layer to matter most; in truth it does not matter at all."""
    truth = np.array([1e-9, *[0.05] * 3])
    believed = np.array([1.0, *[0.05] * 3])
    result = searched(truth, drop=0.01, strategy=sensitivity(ERRORS, believed))
    first = result.best.design.periphery[0]
    assert (first.adc_bits, first.input_bits) == (3, 2)


def test_a_layer_of_which_nothing_is_predicted_is_left_to_measurements() -> None:
    truth = np.array([1e-9, *[0.05] * 3])
    believed = np.array([np.inf, *[0.05] * 3])  # no warning, and still the cheapest that measures well
    result = searched(truth, drop=0.01, strategy=sensitivity(ERRORS, believed))
    first = result.best.design.periphery[0]
    assert (first.adc_bits, first.input_bits) == (3, 2)


def test_an_insensitive_layer_gets_less_precision_than_a_sensitive_one() -> None:
    weights = np.array([1.0] + [1e-6] * 3)
    first, *rest = searched(weights, floor=0.995, objective="energy").best.design.periphery
    assert first.adc_bits > 3
    assert first.input_bits > 2
    assert {(entry.adc_bits, entry.input_bits) for entry in rest} == {(3, 2)}


def test_without_a_design_that_reaches_the_floor_the_most_accurate_is_returned() -> None:
    weights = np.full(4, 0.5)
    result = searched(weights, floor=0.9999)
    assert not result.best.feasible
    assert result.best.accuracy.mean == max(entry.accuracy.mean for entry in result.measured)


def test_a_winner_that_was_lucky_is_passed_over() -> None:
    """The bench flatters designs with 3-bit ADCs in the last layer; other chips do not."""
    weights = np.full(4, 0.05)
    flattered = Bench.of(chips(weights, 0, lambda d: 0.05 * (d.periphery[-1].adc_bits == 3)), DESIGN, 0.004, None)
    honest = Bench.of(chips(weights, 1), DESIGN, 0.004, None)
    asked: list[Any] = []

    def confirmation(given: Any) -> Bench:
        asked.append(given)
        return honest

    result = search_precision(
        DESIGN, sensitivity(ERRORS, weights), options=OPTIONS, goal=Goal("edap"), bench=flattered,
        confirmation=confirmation,
    )  # fmt: skip
    assert not result.confirmed[0].feasible
    assert result.best is result.confirmed[-1]
    assert result.best.feasible
    assert asked == [None] * len(result.confirmed)
    assert accuracy_of(result.best.design, weights) >= accuracy_of(DESIGN, weights) - 0.0045


def test_where_all_are_flattered_more_is_asked_for() -> None:
    """On the bench everything but the nominal design looks 0.4 % better than it is."""
    weights = np.full(4, 0.05)
    flattered = Bench.of(chips(weights, 0, lambda d: 0.004 * (d != DESIGN)), DESIGN, 0.006, None)
    honest = Bench.of(chips(weights, 1), DESIGN, 0.006, None)

    def search(bench: Bench) -> PrecisionResult:
        return search_precision(
            DESIGN, sensitivity(ERRORS, weights), options=OPTIONS, goal=Goal("edap"), bench=bench,
            confirmation=lambda _: honest,
        )  # fmt: skip

    result, fair = search(flattered), search(honest)
    assert result.best.feasible
    assert len(result.measured) > len(fair.measured)
    cost, least = (objective_value(one.best.evaluation, "edap") for one in (result, fair))
    assert least <= cost < 1.15 * least


def test_where_nothing_else_is_confirmed_the_nominal_design_is() -> None:
    weights = np.full(4, 0.05)
    bench = Bench.of(chips(weights), DESIGN, 0.01, None)
    others = Bench.of(chips(weights, 1, lambda d: -0.5 * (d != DESIGN)), DESIGN, 0.01, None)
    result = search_precision(
        DESIGN, sensitivity(ERRORS, weights), options=OPTIONS, goal=Goal("edap"), bench=bench,
        confirmation=lambda _: others,
    )  # fmt: skip
    assert result.best.design == DESIGN
    assert result.best.feasible
    assert result.confirmed[-1] is result.best
    assert not any(entry.feasible for entry in result.confirmed[:-1])


def test_converters_follow_the_precisions() -> None:
    """The same accuracies, since they change no sum, at less cost."""
    weights = np.linspace(0.05, 0.9, 4)
    kinds = [(kind, columns) for kind in ("sar", "flash") for columns in (8, 16)]
    kept, chosen = (searched(weights, floor=0.98, evaluations=4, **options) for options in ({}, {"kinds": kinds}))
    assert objective_value(chosen.best.evaluation, "edap") < 0.95 * objective_value(kept.best.evaluation, "edap")
    assert chosen.best.accuracy.mean >= 0.98
    assert chosen.best.evaluation.to_dict() == evaluate(chosen.best.design).to_dict()


def test_a_design_beyond_the_budget_is_not_feasible() -> None:
    weights = np.full(4, 1e-9)
    free = searched(weights, floor=0.9)
    area = min(float(entry.evaluation.area) * 1e6 for entry in free.measured)
    assert not searched(weights, floor=0.9, budgets=Budgets(area_mm2=0.99 * area)).best.feasible
    assert searched(weights, floor=0.9, budgets=Budgets(area_mm2=1.01 * area)).best.feasible


def nothing(session: Session) -> None:
    """A strategy that measures nothing."""


KINDS = [(kind, columns) for kind in ("sar", "flash") for columns in (4, 8, 16)]


def all_singles() -> list[Design]:
    return [
        Design.homogeneous(
            NETWORK, DESIGN.chip, Periphery(adc_type=kind, columns_per_adc=columns, adc_bits=adc, input_bits=bits)
        )
        for (kind, columns), (adc, bits) in itertools.product(KINDS, OPTIONS)
    ]


def edap(design: Design) -> float:
    return objective_value(evaluate(design), "edap")


def cheapest_single(measured: Any, floor: float) -> float:
    return min(edap(one) for one in all_singles() if measured(one).mean() >= floor)


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=2, deadline=None)
@given(values=st.lists(st.floats(0.01, 1), min_size=4, max_size=4), drop=st.floats(0, 0.4), free=st.booleans())
def test_no_single_periphery_beats_the_result(name: str, values: list[float], drop: float, free: bool) -> None:
    weights = np.array(values)
    options: dict[str, Any] = {"kinds": KINDS} if free else {}
    result = searched(weights, drop=drop, strategy=STRATEGIES[name](weights), single_kinds=KINDS, **options)
    best = cheapest_single(chips(weights), chips(weights)(DESIGN).mean() - drop)
    assert result.single is not None
    assert edap(result.single.design) == pytest.approx(best, rel=1e-12)
    assert len(set(result.single.design.periphery)) == 1
    assert result.single.accuracy.mean == chips(weights)(result.single.design).mean()
    assert edap(result.best.design) <= best
    assert result.best.feasible


def test_where_one_periphery_is_best_it_is_the_result() -> None:
    """Layers keep a dear kind, and the strategy finds nothing: the single periphery is the answer."""
    weights = np.full(4, 0.05)
    found = searched(weights, drop=0.01, strategy=nothing, single_kinds=KINDS)
    assert found.single is not None
    assert found.best == found.single
    assert found.best.evaluation.to_dict() == evaluate(found.best.design).to_dict()
    assert edap(found.best.design) < edap(DESIGN)


def test_the_confirmation_has_the_last_word_on_single_peripheries() -> None:
    """The bench flatters all coarse single peripheries; other chips do not, and a dearer one is the best."""
    weights = np.full(4, 0.05)

    def flatter(design: Design) -> float:
        return 0.1 * (len({entry.sums_key() for entry in design.periphery}) == 1)

    bench = Bench.of(chips(weights, 0, flatter), DESIGN, 0.004, None)
    honest = Bench.of(chips(weights, 1), DESIGN, 0.004, None)
    result = search_precision(
        DESIGN, sensitivity(ERRORS, weights), options=OPTIONS, goal=Goal("edap"), bench=bench, kinds=KINDS,
        single_kinds=KINDS, confirmation=lambda _: honest,
    )  # fmt: skip
    assert result.single is not None
    assert edap(result.single.design) == pytest.approx(cheapest_single(honest.correct, honest.floor), rel=1e-12)
    assert edap(result.best.design) <= edap(result.single.design)
    assert result.best.feasible
    assert result.confirmed[-1] is result.best


def test_single_peripheries_come_first_and_few_are_measured() -> None:
    weights = np.linspace(0.05, 0.9, 4)
    starts: list[Any] = []

    def look(session: Session) -> None:
        starts.append((len(session.measured), session.start))

    result = searched(weights, drop=0.05, strategy=look, single_kinds=KINDS, kinds=KINDS)
    measured, start = starts[0]
    assert measured == len(result.measured) <= len(OPTIONS) - 2
    assert result.single is not None
    assert OPTIONS[start[0]] == tuple(result.single.design.periphery[0].values(("adc_bits", "input_bits")))
    assert len(set(start)) == 1


def test_a_single_periphery_keeps_the_budgets() -> None:
    weights = np.full(4, 0.05)
    free = searched(weights, drop=0.01, strategy=nothing, single_kinds=KINDS)
    assert free.single is not None
    area = float(free.single.evaluation.area) * 1e6
    less = searched(weights, drop=0.01, strategy=nothing, single_kinds=KINDS, budgets=Budgets(area_mm2=0.99 * area))
    assert less.single is None or float(less.single.evaluation.area) * 1e6 <= 0.99 * area
    none = searched(weights, drop=0.01, strategy=nothing, single_kinds=KINDS, budgets=Budgets(area_mm2=1e-3))
    assert none.single is None
    assert not none.best.feasible


def test_where_kinds_change_sums_every_kind_is_measured_for_itself() -> None:
    """ADCs with offsets of their own: those that 16 columns share are worse here."""
    chip = DESIGN.chip.replace(analog=DESIGN.chip.analog.replace(adc_offset_sigma=0.3))
    design = DESIGN.replace(chip=chip)
    weights = np.full(4, 0.05)
    measured = chips(weights, 0, lambda one: -0.5 * any(entry.columns_per_adc == 16 for entry in one.periphery))
    bench = Bench.of(measured, design, 0.01, None)
    result = search_precision(design, nothing, options=OPTIONS, goal=Goal("edap"), bench=bench, single_kinds=KINDS)
    best = min(edap(one.replace(chip=chip)) for one in all_singles() if measured(one).mean() >= bench.floor)
    assert result.single is not None
    assert edap(result.single.design) == pytest.approx(best, rel=1e-12)
    assert result.best == result.single


def test_between_the_single_periphery_and_what_failed_there_is_more() -> None:
    """The strategy knows one layer-wise design, which the bench flatters: it fails elsewhere, and half of it passes."""
    coarse, kinds = OPTIONS.index((3, 2)), [("sar", 8)]
    weights = np.array([1e-9, 1e-9, 0.05, 0.05])
    bench = Bench.of(chips(weights, 0, lambda d: 0.1 * (d != DESIGN)), DESIGN, 0.002, None)
    honest = Bench.of(chips(weights, 1), DESIGN, 0.002, None)
    failing = (coarse, coarse, coarse, OPTIONS.index((3, 4)))

    def strategy(session: Session) -> None:
        session.measure(failing)

    result = search_precision(
        DESIGN, strategy, options=OPTIONS, goal=Goal("edap"), bench=bench, single_kinds=kinds,
        confirmation=lambda _: honest,
    )  # fmt: skip
    assert result.single is not None
    assert result.best.feasible
    assert accuracy_of(result.best.design, weights) >= accuracy_of(DESIGN, weights) - 0.00225
    assert edap(result.best.design) < edap(result.single.design)
    assert len({entry.sums_key() for entry in result.best.design.periphery}) > 1
    assert len(result.measured) <= 9 + 2 + 3


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=2, deadline=None)
@given(values=st.lists(st.floats(0.01, 1), min_size=4, max_size=4), drop=st.floats(0.001, 0.1))
def test_looking_finds_what_measuring_in_full_finds(name: str, values: list[float], drop: float) -> None:
    """Where hard images tell all, in the order of the nominal design's margins."""
    weights = np.array(values)
    place = Looked(weights)
    bench = Bench.looking(place, DESIGN, drop, None)
    result = search_precision(
        DESIGN, STRATEGIES[name](weights), options=OPTIONS, goal=Goal("edap"), bench=bench, kinds=KINDS,
        single_kinds=KINDS,
    )  # fmt: skip
    full = searched(weights, drop=drop, strategy=STRATEGIES[name](weights), kinds=KINDS, single_kinds=KINDS)
    assert result.best.complete
    assert result.best.accuracy.mean == full.best.accuracy.mean
    assert result.best.design == full.best.design
    assert result.single is not None
    assert full.single is not None
    assert result.single.design == full.single.design
    if name == "sensitivity":
        assert place.images < 0.6 * IMAGES * len(full.measured)


def test_what_only_seemed_to_pass_is_not_returned() -> None:
    """The cheaper design gets easy images wrong: the hard ones do not tell, all images do, and the search goes on."""
    weights = np.full(4, 1e-9)
    cheap, dear = (0, 0, 0, 0), (0, 0, 0, OPTIONS.index((4, 4)))

    def spoil(design: Design, answers: Bools, looks: Looks) -> None:
        if design.periphery[-1].adc_bits == 3:  # neither hard images nor the sample warn
            answers[:, looks.hard : looks.hard + 1500] = False

    place = Looked(weights, spoil)
    bench = Bench.looking(place, DESIGN, 0.2, None)
    seemed: list[bool] = []

    def strategy(session: Session) -> None:
        seemed.append(session.measure(cheap).accurate)
        session.measure(dear)

    result = search_precision(DESIGN, strategy, options=OPTIONS, goal=Goal("edap"), bench=bench)
    assert seemed == [True, False]
    assert result.best.feasible
    assert result.best.complete
    assert result.best.design.periphery[-1].adc_bits == 4


def test_a_raised_floor_asks_for_more_images_where_a_verdict_is_open_again() -> None:
    def spoil(design: Design, answers: Bools, looks: Looks) -> None:
        if design != DESIGN:
            answers[:, np.flatnonzero(looks.stratum == 2)[::20]] = False

    bench = Bench.looking(Looked(np.full(4, 1e-9), spoil), DESIGN, 0.1, None)
    session = Session(DESIGN, OPTIONS, [], Goal("edap"), bench)
    coarse = (0, 0, 0, 0)
    before = session.measure(coarse)
    assert before.accurate
    assert not before.complete
    session.set_floor(before.accuracy.mean + 1e-3)
    assert session.feasible() == []
    assert session.promising() == [coarse]
    after = session.measure(coarse)
    assert after.images > before.images
    assert not after.accurate
    assert session.promising() == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_floor_of_a_percentile_is_kept_by_so_many_chips(name: str) -> None:
    """Ten chips, one of them bad: nine must reach the floor, whether all images are measured or looked at in turn."""
    weights, below = np.array([0.3, 0.1, 0.2, 0.1]), np.array([0.2, *np.linspace(0, 0.02, 9)])
    difficulty = np.random.default_rng(0).permutation(np.arange(IMAGES)) / IMAGES

    class Population(Looked):
        def __init__(self) -> None:
            super().__init__(weights)
            self._correct = lambda design: difficulty < (accuracy_of(design, weights) - below)[:, None]

    def ninth(design: Design) -> float:
        return sorted(Population()._correct(design).mean(axis=1))[1]

    place = Population()
    for bench in (
        Bench.looking(place, DESIGN, 0.01, None, 0.2),
        Bench.of(place, DESIGN, 0.01, None, 0.2),
    ):
        assert bench.floor == pytest.approx(ninth(DESIGN) - 0.01)
        result = search_precision(
            DESIGN, STRATEGIES[name](weights), options=OPTIONS, goal=Goal("edap"), bench=bench,
            confirmation=lambda _, bench=bench: bench,
        )  # fmt: skip
        assert result.best.feasible
        assert result.best.judged == ninth(result.best.design) >= bench.floor
        assert result.best.accuracy.mean < result.best.judged  # the bad chip is in the mean
        assert all(one.feasible == (ninth(one.design) >= bench.floor) for one in result.measured if one.complete)
        assert any(edap(one.design) < edap(DESIGN) for one in [result.best])
