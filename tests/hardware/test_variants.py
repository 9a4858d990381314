"""Variants of the model: each changes what it says, exactly, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from xpert.design import Activity, Adc, Chip, Converters, Design, Layer, Network, Periphery, Technology, load_part
from xpert.errors import ConfigError
from xpert.hardware import REFERENCE, Evaluation, PeripheryArrays, cost_tables, evaluate, evaluate_batch
from xpert.hardware.variants import FACTOR, MEASURED, NOMINAL, VARIANTS, variant_named, variants_of
from xpert.networks.spaces import space
from xpert.workload.layers import Workload

NETWORK = Network(
    backbone="custom",
    input_shape=(3, 16, 16),
    layers=(
        Layer(name="a", in_channels=3, out_channels=32, in_height=16, in_width=16, kernel_height=3, kernel_width=3),
        Layer(name="b", in_channels=32, out_channels=64, in_height=14, in_width=14, kernel_height=3, kernel_width=3),
    ),
)
MIXED = (Periphery(adc_type="sar", adc_bits=6), Periphery(adc_type="flash", adc_bits=4, columns_per_adc=4))


def design(*periphery: Periphery, **chip) -> Design:
    return Design(network=NETWORK, chip=Chip(**chip), periphery=periphery or MIXED)


def adc_energy(found: Evaluation) -> float:
    return float(found.energy_by_component.adc)


# One variant at a time


@pytest.mark.parametrize("sign", ["/", "*"])
@pytest.mark.parametrize("types", [("sar", "sar"), ("flash", "flash"), ("ramp", "ramp"), ("sar", "flash")])
def test_energy_of_adcs_times_a_factor(sign: str, types: tuple[str, str]) -> None:
    factor = FACTOR if sign == "*" else 1 / FACTOR
    given = design(*(Periphery(adc_type=name) for name in types))
    nominal, found = evaluate(given), variant_named(f"adc-energy{sign}5").evaluate(given)
    assert adc_energy(found) == pytest.approx(factor * adc_energy(nominal), rel=1e-12)
    assert found.energy == pytest.approx(nominal.energy + (factor - 1) * adc_energy(nominal), rel=1e-12)
    assert (found.area, found.latency, found.leakage_energy) == (nominal.area, nominal.latency, nominal.leakage_energy)


@pytest.mark.parametrize("sign", ["/", "*"])
def test_area_of_adcs_times_a_factor_and_wires_follow(sign: str) -> None:
    factor = FACTOR if sign == "*" else 1 / FACTOR
    nominal, found = evaluate(design()), variant_named(f"adc-area{sign}5").evaluate(design())
    adc = [float(one.area_by_component.adc) for one in (nominal, found)]
    assert adc[1] == pytest.approx(factor * adc[0], rel=1e-12)
    longer = found.context.pitch > nominal.context.pitch
    assert longer == (sign == "*")
    # The energy of conversions stays; that of wires grows or shrinks with the tiles.
    assert adc_energy(found) == pytest.approx(adc_energy(nominal), rel=1e-12)
    assert (found.energy_by_component.interconnect > nominal.energy_by_component.interconnect) == (sign == "*")


def test_the_prechargers_of_sram_are_no_adcs() -> None:
    sram = {"cell": "sram", "cell_bits": 1, "cell_height_f": 10, "cell_width_f": 28}
    flash = Periphery(adc_type="flash")
    nominal, found = (evaluate(design(flash, flash, device=sram, converters=c)) for c in ({}, {"energy_factor": 1e-3}))
    rest = adc_energy(found) / adc_energy(nominal)
    assert 2e-3 < rest < 0.9


def test_reference_is_the_reference_mode() -> None:
    found, expected = variant_named("reference").evaluate(design()), evaluate(design(), REFERENCE)
    assert found.to_dict() == expected.to_dict()


def test_nominal_is_the_model() -> None:
    assert variant_named(NOMINAL).evaluate(design()).to_dict() == evaluate(design()).to_dict()
    assert next(iter(VARIANTS)) == NOMINAL


def test_one_clock() -> None:
    nominal, found = evaluate(design()), variant_named("clock-chip").evaluate(design())
    assert found.to_dict() == evaluate(design(clock="chip")).to_dict()
    assert found.latency > nominal.latency


def test_sample_and_hold() -> None:
    nominal, found = evaluate(design()), variant_named("sample-and-hold").evaluate(design())
    assert adc_energy(found) < adc_energy(nominal)


# Converters of the survey


def test_survey_adcs_cost_what_the_parts_say() -> None:
    """As if the layers had named the parts."""
    six = [Periphery(adc_type=name, adc_bits=6) for name in ("sar", "flash")]
    parts = [load_part(Adc, f"murmann-{kind}-median") for kind in ("sar", "flash")]
    named = [entry.replace(adc_type=part.name) for entry, part in zip(six, parts, strict=True)]
    found, expected = variant_named("survey-adcs").evaluate(design(*six)), evaluate(design(*named, adcs=tuple(parts)))
    for quantity in ("area", "latency", "energy", "leakage_power"):
        assert getattr(found, quantity) == pytest.approx(float(getattr(expected, quantity)), rel=1e-12)
    best = variant_named("survey-adcs-best").evaluate(design(*six))
    assert best.energy < found.energy
    assert best.area < found.area


def test_below_the_survey_the_least_precise_stands_and_it_is_said() -> None:
    survey = variant_named("survey-adcs")
    # Neither references nor mirrors, which the model has beside the converters.
    alone = {"encoding": "differential", "analog": {"adc_range": "full_scale"}}
    four, five = (survey.evaluate(design(*[Periphery(adc_type="sar", adc_bits=bits)] * 2, **alone)) for bits in (4, 5))
    assert adc_energy(four) == pytest.approx(adc_energy(five))
    assert four.area_by_component.adc == pytest.approx(float(five.area_by_component.adc))
    assert survey.remark(design(*[Periphery(adc_type="sar", adc_bits=4)] * 2)) == (
        "2 sar layers below 5 bits at the figures of 5"
    )
    assert survey.remark(design()) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            design(*[Periphery(adc_type="flash", adc_bits=8)] * 2),
            r"periphery.0.adc_bits must be one of 1, 2, .*, 6 for",
        ),
        (design(technology=Technology(node_nm=7)), r"for nodes from 28 to 65 nm, but the technology's is 7 nm"),
    ],
)
def test_beyond_the_survey_it_refuses(given: Design, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^variant survey-adcs: .*{message}"):
        variant_named("survey-adcs").evaluate(given)


def test_a_kind_of_the_users_own_stays() -> None:
    mine = Adc.parse(
        {
            "name": "mine",
            "source": "made up for this test",
            "bits": [3, 8],
            "nodes_nm": [7, 130],
            "area_um2": 300,
            "energy_pj": 0.7,
            "latency_ns": 7,
        }
    )
    own = design(*[Periphery(adc_type="mine")] * 2, adcs=(mine,))
    assert variant_named("survey-adcs").evaluate(own).to_dict() == evaluate(own).to_dict()
    replacing = mine.replace(replaces="sar", name="theirs")
    both = Chip(adcs=(mine, replacing))
    assert both.adc_types == Chip(adcs=(mine,)).adc_types  # what replaces a kind is none of its own
    assert len(variant_named("survey-adcs").apply(both).adcs) == 3
    with pytest.raises(ConfigError, match=r"adcs.1.replaces: 'sar' is replaced twice"):
        Chip.parse({"adcs": (replacing, replacing.replace(name="again"))})
    with pytest.raises(ConfigError, match=r"replaces must be one of .*sar.* got 'none'"):
        mine.replace(replaces="none")


# On batches and tables


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != MEASURED])
def test_batches_and_tables_take_a_variant(name: str) -> None:
    variant, rng = VARIANTS[name], np.random.default_rng(3)
    kinds = itertools.product(("sar", "flash"), ((5, 4), (6, 8)))
    options = [Periphery(adc_type=kind, adc_bits=bits, columns_per_adc=share) for kind, (bits, share) in kinds]
    chosen = rng.integers(len(options), size=(3, 2))
    designs = [design(*(options[index] for index in row)) for row in chosen]
    chip = variant.apply(Chip())
    periphery = PeripheryArrays.of([options[index] for index in chosen.ravel()], chip.adcs)
    shaped = PeripheryArrays(*(array.reshape(3, 2) for array in periphery.values.values()), adcs=chip.adcs)
    batch = evaluate_batch(chip, Workload.from_network(NETWORK), shaped, variant.switches)
    for index, one in enumerate(designs):
        assert batch.edap[index] == variant.evaluate(one).edap
    if not variant.tabulates:
        with pytest.raises(ConfigError, match="fresh_tree_leakage"):
            cost_tables(chip, space("vgg11", [[16]] * 8, (3, 32, 32), 10), options[:1], None, variant.switches)
        return
    networks = space("vgg11", [[16]] * 8, (3, 32, 32), 10)
    whole = Design.homogeneous(networks.network([16] * 8), Chip(), options[0])
    found = variant.evaluate(whole)
    tables = cost_tables(chip, networks, options[:1], found.context, variant.switches)
    total = sum(float(layer.energy.ravel()[0]) for layer in tables.layers)
    assert total == pytest.approx(float(found.energy), rel=1e-9)


def test_measured_activity_is_a_variant_where_it_is_known() -> None:
    assumed = design()
    measured = assumed.replace(activity=(Activity(input_bit_density=0.1), Activity(input_bit_density=0.2)))
    assert MEASURED not in [variant.name for variant in variants_of([assumed, measured])]
    assert [variant.name for variant in variants_of([measured])] == list(VARIANTS)
    assert variant_named(MEASURED).evaluate(measured).to_dict() == evaluate(measured).to_dict()
    assert variant_named(NOMINAL).evaluate(measured).to_dict() == evaluate(assumed).to_dict()


def test_an_unknown_variant_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^variant: must be one of nominal, .*, got 'none'$"):
        variant_named("none")


@pytest.mark.parametrize(("field", "value"), [("energy_factor", 0), ("area_factor", -1), ("energy_factor", 1e4)])
def test_factors_are_checked(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        Converters.parse({field: value})
