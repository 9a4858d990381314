"""What phase 1 says to be proven holds for every design: small spaces, enumerated and evaluated in full."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from xpert.design import Chip, Design, Device, Periphery, Technology
from xpert.errors import ConfigError, InfeasibleError
from xpert.hardware import PeripheryArrays, evaluate, evaluate_batch
from xpert.hardware.breakdown import map_arrays
from xpert.hardware.circuits import h_tree
from xpert.hardware.floorplan import grid
from xpert.hardware.technology import process_of
from xpert.networks.spaces import Space, space
from xpert.search import certificate
from xpert.search.architecture import ArchitectureResult, search_architecture
from xpert.search.certificate import relaxation
from xpert.search.fronts import architecture_fronts
from xpert.search.objectives import OBJECTIVES, PER_SI, Budgets, Goal
from xpert.search.quality import additive_quality
from xpert.workload.layers import Workload

NONE = Budgets()


def options(sharings: Sequence[int], bits: int = 4, kinds: Sequence[str] = ("sar", "flash")) -> list[Periphery]:
    return [
        Periphery(adc_type=kind, columns_per_adc=share, adc_bits=bits, input_bits=4)
        for kind in kinds
        for share in sharings
    ]


def every(networks: Space, chip: Chip, peripheries: Sequence[Periphery]) -> dict[str, np.ndarray]:
    """Area, latency, energy and quality of all designs of a space, in the units of objectives."""
    figures: dict[str, list[np.ndarray]] = {name: [] for name in ("area", "latency", "energy", "quality")}
    for channels in itertools.product(*networks.choices):
        network = networks.network(list(channels))
        taken = list(itertools.product(range(len(peripheries)), repeat=len(network.layers)))
        entries = [peripheries[index] for row in taken for index in row]
        shape = (len(taken), len(network.layers))
        arrays = map_arrays(lambda array, shape=shape: array.reshape(shape), PeripheryArrays.of(entries, chip.adcs))
        found = evaluate_batch(chip, Workload.from_network(network), arrays)
        for name in ("area", "latency", "energy"):
            figures[name].append(getattr(found, name) * PER_SI)
        figures["quality"].append(np.full(len(taken), additive_quality("macs").measure(network)))
    return {name: np.concatenate(parts) for name, parts in figures.items()}


def searched(
    networks: Space,
    chip: Chip,
    peripheries: Sequence[Periphery],
    objective: str,
    budgets: Budgets = NONE,
    least=None,
    seconds: float | None = None,
) -> ArchitectureResult:
    return search_architecture(
        networks,
        chip,
        peripheries,
        objective=objective,
        budgets=budgets,
        quality=additive_quality("macs"),
        minimum_quality=least,
        strategy="exact",
        seed=0,
        seconds=seconds,
    )


CHIPS = {
    "one clock": Chip(subarrays_per_pe=4, pes_per_tile=4, clock="chip"),
    "own clocks": Chip(subarrays_per_pe=4, pes_per_tile=4),
    "small tiles": Chip(subarrays_per_pe=1, pes_per_tile=4, rows=128, columns=128),
    "fine process": Chip(technology=Technology(node_nm=22, roadmap="HP"), subarrays_per_pe=4, pes_per_tile=1),
    "two cells to a slice": Chip(encoding="differential", subarrays_per_pe=4, pes_per_tile=4),
    "sram": Chip(device=Device(cell="sram", cell_bits=1), subarrays_per_pe=4, pes_per_tile=16),
}


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        *(("one clock", objective) for objective in ("latency", "edap", "tops_per_watt")),
        ("own clocks", "edap"),
        ("small tiles", "edap"),
        ("fine process", "energy"),
        ("two cells to a slice", "edp"),
        ("sram", "edap"),
    ],
)
def test_the_optimum_is_found_and_proven(name: str, objective: str) -> None:
    chip, networks, peripheries = CHIPS[name], space("vgg11", (24,), (3, 32, 32), 10), options((4, 16), 5)[:3]
    figures = every(networks, chip, peripheries)
    found = searched(networks, chip, peripheries, objective)
    if objective == "tops_per_watt":
        best = np.min(figures["energy"]) / (2 * figures["quality"][0]) * 1e6
    else:
        best = np.min(np.prod([figures[name] for name in OBJECTIVES[objective]], axis=0))
    assert found.lower_bound is not None
    assert found.lower_bound <= best * (1 + 1e-9)
    assert found.value == pytest.approx(best, rel=1e-9)
    # A design may be better in another slot than the one that takes the least area; the bound then allows for that.
    least = 0.95 if objective in ("energy", "tops_per_watt") else 1 - 1e-9
    assert found.lower_bound >= least * best


@pytest.mark.parametrize("seed", [0, 3])
def test_under_budgets_and_quality_among_networks(seed: int) -> None:
    """Widths, with two budgets and a least quality: what is proven is the enumerated best, or that there is none."""
    draw = np.random.default_rng(seed)
    chip = Chip(subarrays_per_pe=4, pes_per_tile=int(draw.choice([1, 4])), clock=str(draw.choice(["layer", "chip"])))
    choices = [(8, 32)] + [(16,)] * 3 + [(16, 48)] + [(16,)] * (len(space("vgg11", (16,)).choices) - 5)
    networks = space("vgg11", choices, (3, 16, 16), 10)
    peripheries = [options((2, 16), 6)[index] for index in draw.choice(4, 2, replace=False)]
    figures = every(networks, chip, peripheries)
    budgets = Budgets(
        area_mm2=float(np.quantile(figures["area"], draw.uniform(0.2, 0.6))),
        latency_us=float(np.quantile(figures["latency"], draw.uniform(0.4, 0.8))),
    )
    backbone = additive_quality("macs").measure(networks.network(networks.default_channels))
    least = float(np.quantile(figures["quality"], 0.5)) / backbone
    kept = (
        (figures["area"] <= budgets.area_mm2)
        & (figures["latency"] <= budgets.latency_us)
        & (figures["quality"] >= least * backbone * (1 - 1e-9))
    )
    if not kept.any():
        with pytest.raises(InfeasibleError):
            searched(networks, chip, peripheries, "edap", budgets, least)
        return
    best = np.min((figures["area"] * figures["latency"] * figures["energy"])[kept])
    found = searched(networks, chip, peripheries, "edap", budgets, least)
    assert found.lower_bound is not None
    assert found.lower_bound <= best * (1 + 1e-9)
    assert found.value >= best * (1 - 1e-9)
    assert found.value <= best * (1 + 1e-9)


def test_bounds_of_fronts_hold_for_every_design() -> None:
    chip, networks, peripheries = CHIPS["own clocks"], space("vgg11", (24,), (3, 32, 32), 10), options((4, 16), 5)[:3]
    figures = every(networks, chip, peripheries)
    found = searched(networks, chip, peripheries, "edap")
    fronts = architecture_fronts(found.problem, networks, chip, peripheries, "macs", 5, found.relaxed)
    latency = fronts[0]
    assert (latency.objective, latency.along) == ("latency", "area")
    assert latency.points
    for point in latency.points:
        best = np.min(figures["latency"][figures["area"] <= point.area_mm2 * (1 + 1e-9)])
        assert point.lower_bound <= best * (1 + 1e-9)
        assert point.lower_bound >= 0.5 * best
    for point in fronts[1].points:
        best = np.min((figures["area"] * figures["latency"] * figures["energy"])[figures["quality"] >= point.quality])
        assert point.lower_bound <= best * (1 + 1e-9)


def test_no_design_is_dearer_in_the_relaxation() -> None:
    chip, networks, peripheries = CHIPS["one clock"], space("vgg11", (8, 40), (3, 32, 32), 10), options((2, 8), 6)
    draw = np.random.default_rng(3)
    tables = relaxation(chip, networks, peripheries)
    for _ in range(40):
        widths = draw.integers(0, 2, networks.depth)
        taken = draw.integers(0, 4, len(networks.inputs))
        network = networks.network([row[index] for row, index in zip(networks.choices, widths, strict=True)])
        own = evaluate(Design(chip=chip, network=network, periphery=tuple(peripheries[index] for index in taken)))
        area, latency, _ = tables.totals(widths, taken)
        dynamic = sum(
            layer.dynamic_energy[
                0 if source < 0 else widths[tables.decisions[source]],
                widths[decision] if decision >= 0 else 0,
                option,
            ]
            for layer, source, decision, option in zip(
                tables.layers, tables.inputs, tables.decisions, taken, strict=True
            )
        )
        assert area <= float(own.area) * (1 + 1e-12)
        assert latency <= float(own.latency) * (1 + 1e-12)
        assert dynamic <= float(own.dynamic_energy) * (1 + 1e-12)


def test_larger_grids_never_cost_less() -> None:
    """On this the order of regions by slots rests."""
    p = process_of(Technology())
    rows, columns = grid(np.arange(1.0, 2000.0))
    tree = h_tree(
        p, rows, columns, unit_height=1e-3, unit_width=1e-3, bus_bits=2048.0, tolerance=0.1, folding=4.0, bits=2048.0
    )
    for figure in (tree.area, tree.latency, tree.cycles, tree.energy, tree.leakage):
        assert np.all(np.diff(figure) >= 0)


def test_bound_and_best_design_close_in() -> None:
    networks = space("vgg11", choices=[4, 8], input_shape=(1, 32, 32))
    found = searched(networks, Chip(), options((2, 8)), "edap", least=0.5)
    regions, values, bounds = (list(row) for row in zip(*found.proof, strict=True))
    assert len(bounds) > 2
    assert regions == sorted(regions)
    assert values == sorted(values, reverse=True)
    assert bounds == sorted(bounds)
    assert bounds[-1] == found.lower_bound
    assert all(bound <= value for bound, value in zip(bounds, values, strict=True))
    assert searched_without_proof(networks).proof == ()


def test_a_proof_that_runs_out_of_time_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, chip, peripheries = space("vgg11", (24,), (3, 32, 32), 10), CHIPS["one clock"], options((4, 16), 5)[:3]
    clock = itertools.count()  # every look at it is a second later, so that what is stopped is the same everywhere
    monkeypatch.setattr(certificate.time, "process_time", lambda: float(next(clock)))
    bounds = []
    for seconds in (10, 200, 1000):
        found = searched(networks, chip, peripheries, "edap", seconds=seconds)
        bounds.append(-np.inf if found.lower_bound is None else found.lower_bound)
    full = searched(networks, chip, peripheries, "edap")
    assert bounds[0] == -np.inf
    assert bounds[0] < bounds[1] < bounds[2] == full.lower_bound


def test_tilings_close_in_one_after_the_other() -> None:
    networks, chip = space("vgg11", choices=[4, 8], input_shape=(1, 32, 32)), Chip()
    found = search_architecture(
        networks, chip, options((2, 8)), objective="edap", budgets=NONE, quality=additive_quality("macs"),
        minimum_quality=0.5, strategy="exact", seed=0, tilings=[chip.replace(pes_per_tile=4)],
    )  # fmt: skip
    regions, values, bounds = (list(row) for row in zip(*found.proof, strict=True))
    assert regions == sorted(regions)
    assert values == sorted(values, reverse=True)
    # One tiling says nothing of the other.
    assert bounds == sorted(bounds)
    assert bounds[0] == -np.inf
    assert bounds[-1] == found.lower_bound


def searched_without_proof(networks: Space) -> ArchitectureResult:
    return search_architecture(
        networks, Chip(), options((2, 8)), objective="edap", budgets=NONE, quality=additive_quality("macs"),
        minimum_quality=0.5, strategy="exact", seed=0, prove=False,
    )  # fmt: skip


def test_nothing_is_claimed_where_nothing_is_proven() -> None:
    chosen = Chip(subarrays_per_pe=None, pes_per_tile=None)
    found = searched(space("vgg11", (16,), (3, 32, 32), 10), chosen, options((4, 16))[:2], "edap")
    assert found.lower_bound is None
    assert found.relaxed is None
    assert Goal("edap").met(found.evaluation)


@pytest.mark.parametrize("objective", ["edap", "latency"])
def test_copies_are_chosen_and_proven(objective: str) -> None:
    chip, networks = CHIPS["small tiles"], space("vgg11", (24,), (3, 32, 32), 10)
    peripheries = [Periphery(adc_bits=5, input_bits=4, copies=copies) for copies in (None, 6, 40)]
    figures = every(networks, chip, peripheries)
    budgets = Budgets(area_mm2=float(np.quantile(figures["area"], 0.3)))
    kept = figures["area"] <= budgets.area_mm2
    best = np.min(np.prod([figures[name] for name in OBJECTIVES[objective]], axis=0)[kept])
    found = searched(networks, chip, peripheries, objective, budgets)
    assert found.lower_bound is not None
    assert found.lower_bound <= best * (1 + 1e-9)
    assert found.value == pytest.approx(best, rel=1e-9)
    assert found.lower_bound == pytest.approx(best, rel=1e-9)
    assert len({entry.copies for entry in found.design.periphery}) > 1, "layers differ"


@pytest.mark.parametrize("objective", ["edap", "latency"])
def test_precisions_of_weights_and_cells_are_chosen_and_proven(objective: str) -> None:
    """Narrower weights with more ADCs, finer ones, against wider weights; both in cells of fewer bits."""
    chip, networks = CHIPS["small tiles"], space("vgg11", (24,), (3, 32, 32), 10)
    peripheries = [
        Periphery(adc_bits=4, input_bits=4, cell_bits=2),
        Periphery(adc_bits=5, input_bits=4, columns_per_adc=2, weight_bits=6, cell_bits=2),
    ]
    figures = every(networks, chip, peripheries)
    budgets = Budgets(area_mm2=float(np.quantile(figures["area"], 0.3)))
    kept = figures["area"] <= budgets.area_mm2
    best = np.min(np.prod([figures[name] for name in OBJECTIVES[objective]], axis=0)[kept])
    found = searched(networks, chip, peripheries, objective, budgets)
    assert found.lower_bound is not None
    assert found.lower_bound <= best * (1 + 1e-9)
    assert found.value == pytest.approx(best, rel=1e-9)
    assert found.lower_bound == pytest.approx(best, rel=1e-9)
    assert len({entry.weight_bits for entry in found.design.periphery}) > 1, "layers differ"


PIPELINED = Chip(execution="pipelined", pipeline_speed_up=4, subarrays_per_pe=1, pes_per_tile=4)


@pytest.mark.parametrize(
    ("objective", "limits"),
    [
        ("throughput", {"area_mm2": 0.3}),
        ("throughput", {"energy_uj": 0.3, "power_mw": 0.4}),
        ("edap", {"area_mm2": 0.5}),
        ("energy", {"latency_us": 0.3}),
        ("area", {"power_mw": 0.5}),
    ],
)
def test_pipelined_chips(objective: str, limits: dict[str, float]) -> None:
    """Copies balance the layers: the slowest sets the time from image to image, for which all tiles leak."""
    networks = space("vgg11", (24,), (3, 16, 16), 10)
    peripheries = [Periphery(adc_bits=5, input_bits=4, copies=copies) for copies in (None, 2, 40)]
    figures = every(networks, PIPELINED, peripheries)
    figures["power"] = 1e3 * figures["energy"] / figures["latency"]
    budgets = Budgets(**{name: float(np.quantile(figures[name.split("_")[0]], q)) for name, q in limits.items()})
    kept = np.all([figures[name.split("_")[0]] <= getattr(budgets, name) for name in limits], axis=0)
    best = np.min(np.prod([figures[name] for name in OBJECTIVES[objective]], axis=0)[kept])
    found = searched(networks, PIPELINED, peripheries, objective, budgets)
    assert found.lower_bound is not None
    assert found.lower_bound <= best * (1 + 1e-9)
    assert found.value == pytest.approx(best, rel=1e-9)
    assert found.lower_bound >= 0.9 * best
    assert architecture_fronts(found.problem, networks, PIPELINED, peripheries, "macs", 3, found.relaxed) == ()


def test_networks_of_a_pipelined_chip() -> None:
    """Widths are chosen with the copies, at a least quality; what can be left out is not proven."""
    networks = space("vgg11", [(8, 24)] + [(16,)] * 3 + [(16, 32)] + [(16,)] * 3, (3, 16, 16), 10)
    peripheries = [Periphery(adc_bits=5, input_bits=4, copies=copies) for copies in (4, 40)]
    figures = every(networks, PIPELINED, peripheries)
    backbone = additive_quality("macs").measure(networks.network(networks.default_channels))
    least = float(np.median(figures["quality"])) / backbone
    area = float(np.quantile(figures["area"], 0.5))
    kept = (figures["area"] <= area) & (figures["quality"] >= least * backbone * (1 - 1e-9))
    best = np.min(figures["latency"][kept])
    found = searched(networks, PIPELINED, peripheries, "throughput", Budgets(area_mm2=area), least)
    assert found.lower_bound is not None
    assert 0.9 * best <= found.lower_bound <= best * (1 + 1e-9)
    assert found.value == pytest.approx(best, rel=1e-9)
    with_kernels = space("vgg11", (16,), (3, 16, 16), 10, kernels=(0, 3))  # without copies by the rule
    assert searched(with_kernels, PIPELINED, peripheries[:1], "latency").lower_bound is None
    with pytest.raises(ConfigError, match="not searched on pipelined chips"):
        searched(networks, PIPELINED, peripheries, "tops_per_watt")
