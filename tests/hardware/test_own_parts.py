"""Users' own parts in the hardware model: given figures are what a chip is charged, and all else stays as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.cli.inputs import read_design
from xpert.design import (
    ADCS,
    Adc,
    Chip,
    Design,
    Device,
    Layer,
    Network,
    Periphery,
    Technology,
    load_part,
    part_names,
)
from xpert.errors import ConfigError
from xpert.experiment.config import SearchConfig, search_space, typical_design
from xpert.hardware import PHYSICAL, REFERENCE, PeripheryArrays, cost_tables, evaluate, evaluate_batch
from xpert.hardware.adcs import Conversion
from xpert.hardware.adcs.matching import matched
from xpert.hardware.adcs.own import own_adc
from xpert.hardware.adcs.sar import sar_adc
from xpert.hardware.crossbar import active_conductance, crossbar_of
from xpert.hardware.technology import process_of
from xpert.networks.spaces import space
from xpert.workload.layers import Workload

DOCS = Path(__file__).parents[2] / "docs" / "own-parts.md"

NETWORK = Network(
    backbone="custom",
    input_shape=(3, 16, 16),
    layers=(
        Layer(name="a", in_channels=3, out_channels=32, in_height=16, in_width=16, kernel_height=3, kernel_width=3),
        Layer(
            name="b",
            in_channels=32,
            out_channels=64,
            in_height=14,
            in_width=14,
            kernel_height=3,
            kernel_width=3,
            pool=2,
        ),
        Layer(name="c", kind="linear", in_channels=2304, out_channels=10, relu=False),
    ),
)
QUANTITIES = ("area", "latency", "energy", "leakage_power", "clock_period", "tops_per_watt")


def adc(**changes: Any) -> Adc:
    figures = {"area_um2": 300, "energy_pj": 0.7, "latency_ns": 7, "leakage_uw": 0.1}
    return Adc.parse(
        {"name": "mine", "source": "made up for this test", "bits": [3, 8], "nodes_nm": [7, 130], **figures, **changes}
    )


def cost(chip: Chip, *peripheries: Periphery, switches=PHYSICAL):
    """Of the network with these peripheries, the last one for all layers that follow."""
    entries = [*peripheries, *[peripheries[-1]] * (3 - len(peripheries))]
    return evaluate(Design(network=NETWORK, chip=chip, periphery=tuple(entries)), switches)


def kinds(chip: Chip, *names: str) -> list[int]:
    """Indices of these kinds of ADC."""
    return [chip.adc_types.index(name) for name in names]


# One ADC by itself


def test_a_bank_of_adcs_by_hand() -> None:
    p = process_of(Technology())
    mine = adc(area_um2={4: 100, 6: 250}, energy_pj="bits / 4", latency_ns=7, leakage_uw=0.5, measured=False)
    found = own_adc(
        p,
        mine,
        np.array([4.0, 6.0]),
        8.0,
        width=1e-4,
        column_resistance=np.ones((2, 3)),
        multiplicity=[1.0, 2.0, 0.5],
    )
    assert found.area == pytest.approx([800e-12, 2000e-12])
    assert found.height == pytest.approx([8e-6, 20e-6])
    assert found.energy == pytest.approx([3.5e-12, 5.25e-12])  # 3.5 conversions of 1 and of 1.5 pJ
    assert found.latency == pytest.approx([7e-9, 7e-9])
    assert found.leakage == pytest.approx([4e-6, 4e-6])


def test_measured_figures_are_charged_as_they_are() -> None:
    """The chip multiplies sensing by 1.4 and energy by 1.22 later: what is measured has that in it."""
    p = process_of(Technology())
    read = {"width": 1e-4, "column_resistance": np.ones(1)}
    drawn, built = (own_adc(p, adc(measured=flag), 6.0, 1.0, **read) for flag in (False, True))
    assert built.latency * 1.4 == pytest.approx(drawn.latency)
    assert built.energy * 1.22 == pytest.approx(drawn.energy)
    assert (built.area, built.leakage) == (drawn.area, drawn.leakage)
    reference = own_adc(process_of(Technology(), switches=REFERENCE), adc(), 6.0, 1.0, **read)
    assert reference.energy == drawn.energy  # there the factor is applied to TOPS/W alone, to all energy


def test_a_precision_without_figures_is_refused() -> None:
    p = process_of(Technology())
    other = adc(name="other", latency_ns="2 * bits", bits=[2, 4], measured=False)
    read = {"width": 1e-4, "column_resistance": np.ones((2, 1))}
    assert own_adc(p, other, np.array([4.0, 2.0]), 1.0, **read).latency == pytest.approx([8e-9, 4e-9])
    with pytest.raises(ConfigError, match="adc_bits must be one of 2, 3, 4 for the ADC 'other', got 8"):
        own_adc(p, other, np.array([2.0, 8.0]), 1.0, **read)


def test_an_adc_with_tables_can_be_changed() -> None:
    mine = adc(area_um2={4: 100, 6: 250})
    assert mine.replace(name="yours").figures(32) == mine.figures(32)


# On a chip


def sar_as_given(chip: Chip) -> Adc:
    """The circuit-derived SAR ADC, as figures that a user could give, for columns with full rows."""
    p = process_of(chip.technology, logic_clock=chip.logic_clock_hz)
    crossbar = crossbar_of(chip)
    active = np.floor(chip.rows * chip.activity.input_bit_density + 0.5)
    conductance = chip.activity.cell_conductance_s or active_conductance(p, crossbar, None)
    tables: dict[str, dict[int, float]] = {"area_um2": {}, "energy_pj": {}, "latency_ns": {}, "leakage_uw": {}}
    for bits in range(3, 9):
        one = sar_adc(
            p,
            float(bits),
            1.0,
            width=1.0,
            column_resistance=np.array([1 / (active * conductance)]),
            read_voltage=crossbar.read_voltage,
        )
        asked = Conversion(
            bits=float(bits),
            instances=1.0,
            turns=1.0,
            width=1.0,
            column_resistance=np.ones(1),
            multiplicity=1.0,
            read_voltage=crossbar.read_voltage,
            rows=crossbar.rows,
            r_on=crossbar.r_on,
            r_off=crossbar.r_off,
            sensing="current",
            offset_sigma=crossbar.offset_sigma,
            trim_bits=crossbar.trim_bits,
        )
        one = matched(p, asked, one, 1.0, float(bits))
        for name, value in zip(tables, (one.area, one.energy, one.latency, one.leakage), strict=True):
            tables[name][bits] = float(value) * (1e9 if name == "latency_ns" else 1e6 if name == "leakage_uw" else 1e12)
    return adc(measured=False, **tables)


FULL_ROWS = Network(
    backbone="custom",
    input_shape=(64, 8, 8),
    layers=(
        Layer(name="a", in_channels=64, out_channels=128, in_height=8, in_width=8, kernel_height=3, kernel_width=3),
        Layer(name="b", in_channels=128, out_channels=64, in_height=6, in_width=6, pool=2),
        Layer(name="c", kind="linear", in_channels=576, out_channels=10, relu=False),
    ),
)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"technology": {"node_nm": 22, "roadmap": "HP", "temperature_k": 350}},
        {"clock": "chip", "synchronous": False},
        {"execution": "pipelined", "pipeline_speed_up": 4},
        {"mapping": "novel", "subarrays_per_pe": None, "pes_per_tile": None},
        {"device": "sram-neurosim"},
    ],
    ids=str,
)
@pytest.mark.parametrize("adc_bits", [4, 7])
def test_an_adc_with_the_figures_of_the_sar_gives_the_sars_chip(data: dict[str, Any], adc_bits: int) -> None:
    chip = Chip.parse(data)
    own = Chip.parse({**data, "adcs": [sar_as_given(chip).model_dump()]})
    entries = [{"columns_per_adc": columns, "adc_bits": adc_bits} for columns in (1, 8, 20)]
    derived, given_ = (
        evaluate(
            Design(
                network=FULL_ROWS,
                chip=own,
                periphery=tuple(Periphery.parse(entry | {"adc_type": kind}) for entry in entries),
            )
        )
        for kind in ("sar", "mine")
    )
    for quantity in QUANTITIES:
        assert getattr(given_, quantity) == pytest.approx(getattr(derived, quantity), rel=1e-9), quantity
    for quantity, parts in derived.breakdown.items():
        for component, value in parts.items():
            assert given_.breakdown[quantity][component] == pytest.approx(value, rel=1e-9, abs=1e-30), component


def test_a_chip_with_own_adcs_that_are_not_used_is_the_same_bit_for_bit() -> None:
    peripheries = (Periphery(), Periphery(adc_type="flash", adc_bits=4), Periphery(columns_per_adc=32))
    for switches in (PHYSICAL, REFERENCE):
        plain, own = (
            cost(Chip(), *peripheries, switches=switches),
            cost(Chip(adcs=(adc(),)), *peripheries, switches=switches),
        )
        for quantity in QUANTITIES:
            assert getattr(plain, quantity) == getattr(own, quantity), quantity
        assert plain.to_dict() == own.to_dict()


def test_given_figures_reach_the_chip_unchanged() -> None:
    """Twice the energy of a conversion costs one conversion more for each; likewise area and leakage."""
    mine = Periphery(adc_type="mine")
    base = cost(Chip(adcs=(adc(),)), mine)
    dearer = cost(Chip(adcs=(adc(energy_pj=1.7),)), mine)
    reads = sum(  # one conversion per column, input bit, position and subarray row
        -(-layer.in_channels * layer.kernel_height * layer.kernel_width // 64)
        * layer.out_channels
        * 2  # slices
        * 8  # input bits
        * layer.out_height
        * layer.out_width
        for layer in NETWORK.layers
    )
    assert dearer.dynamic_energy - base.dynamic_energy == pytest.approx(reads * 1e-12, rel=1e-9)
    subarrays = 64 * base.tiles.sum()  # 4 per PE, 16 PEs per tile
    leaky = cost(Chip(adcs=(adc(leakage_uw=1.1),)), mine)
    assert leaky.leakage_power - base.leakage_power == pytest.approx(subarrays * 8 * 1e-6, rel=1e-9)
    larger = cost(Chip(adcs=(adc(area_um2=400),)), mine)
    assert larger.breakdown["area"]["adc"] - base.breakdown["area"]["adc"] == pytest.approx(subarrays * 8 * 100e-12)
    slower = cost(Chip(adcs=(adc(latency_ns=9),)), mine)
    assert slower.sensing_period - base.sensing_period == pytest.approx([2e-9] * 3)


def test_an_evaluation_names_the_adcs() -> None:
    chip = Chip(adcs=(adc(), adc(name="other")))
    found = cost(chip, Periphery(adc_type="other"), Periphery(adc_type="flash"), Periphery(adc_type="mine")).to_dict()
    assert [layer["adc_type"] for layer in found["layers"]] == ["other", "flash", "mine"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_batch_of_four_kinds_equals_a_loop_bit_for_bit(seed: int) -> None:
    generator = np.random.default_rng(seed)
    chip = Chip(adcs=(adc(), adc(name="other", latency_ns="bits / 2", energy_pj="0.03 * 2**bits")))
    shape = (5, 3)
    arrays = {
        "adc_type": generator.choice(kinds(chip, "sar", "flash", "mine", "other"), shape),
        "columns_per_adc": generator.choice([1.0, 2.0, 8.0, 32.0], shape),
        "adc_bits": generator.integers(3, 9, shape).astype(float),
        "input_bits": generator.integers(1, 9, shape).astype(float),
    }
    work = Workload.from_network(NETWORK)
    together = evaluate_batch(chip, work, PeripheryArrays.given(**arrays))
    for index in range(5):
        entries = tuple(
            Periphery(
                adc_type=chip.adc_types[arrays["adc_type"][index, layer]],
                **{name: int(arrays[name][index, layer]) for name in ("columns_per_adc", "adc_bits", "input_bits")},
            )
            for layer in range(3)
        )
        alone = evaluate(Design(network=NETWORK, chip=chip, periphery=entries))
        for quantity in QUANTITIES:
            assert getattr(alone, quantity) == getattr(together, quantity)[index], quantity


def test_a_batch_refuses_kinds_and_precisions_that_the_chip_does_not_have() -> None:
    chip, work = Chip(adcs=(adc(),)), Workload.from_network(NETWORK)
    (mine,) = kinds(chip, "mine")
    with pytest.raises(
        ConfigError, match=rf"periphery.adc_type must be one of 0 \(sar\), .*, {mine} \(mine\), got 0 to {mine + 1}"
    ):
        evaluate_batch(chip, work, PeripheryArrays.given(adc_type=np.array([0, mine, mine + 1]), adc_bits=6))
    with pytest.raises(ConfigError, match=r"periphery.adc_type must be one of 0 .*, got -1 to 0"):
        evaluate_batch(chip, work, PeripheryArrays.given(adc_type=np.array([0, -1, 0]), adc_bits=6))
    with pytest.raises(ConfigError, match="adc_bits must be one of 3, 4, 5, 6, 7, 8 for the ADC 'mine', got 9"):
        evaluate_batch(chip, work, PeripheryArrays.given(adc_type=np.array([0, mine, mine]), adc_bits=9))


# Searches


def test_cost_tables_with_three_kinds_of_adc_add_up_to_the_chip() -> None:
    chip = Chip(adcs=(adc(),))
    networks = space("vgg11", (16, 32), (3, 32, 32), 10)
    options = [Periphery(adc_type=kind, columns_per_adc=columns) for kind in chip.adc_types for columns in (4, 16)]
    generator = np.random.default_rng(0)
    depth = len(networks.choices)
    widths, chosen = generator.integers(0, 2, depth), generator.integers(0, len(options), depth + 1)
    channels = [choice[index] for choice, index in zip(networks.choices, widths, strict=True)]
    design = Design(network=networks.network(channels), chip=chip, periphery=tuple(options[index] for index in chosen))
    whole = evaluate(design)
    tables = cost_tables(chip, networks, options, context=whole.context)
    assert np.isfinite([table.area.sum() + table.latency.sum() + table.energy.sum() for table in tables.layers]).all()
    for found, wanted in zip(tables.totals(widths, chosen), (whole.area, whole.latency, whole.energy), strict=True):
        assert found == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(ConfigError, match=r"peripheries\.1\.adc_type must be one of sar, flash, .*mine"):
        cost_tables(chip, networks, [Periphery(), Periphery(adc_type="yours")])


# Devices and processes


@pytest.mark.parametrize("name", part_names("device"))
@pytest.mark.parametrize("node_nm", [65, 32, 22])
def test_every_shipped_device_makes_a_chip(name: str, node_nm: int) -> None:
    chip = Chip(technology=Technology(node_nm=node_nm), device=load_part(Device, name))  # type: ignore[arg-type]
    found = cost(chip, Periphery())
    assert all(np.isfinite(getattr(found, quantity)) and getattr(found, quantity) > 0 for quantity in QUANTITIES)


def test_the_28_nm_process_lies_between_its_neighbours() -> None:
    below, above = (process_of(Technology(node_nm=node)) for node in (22, 32))
    between = process_of(load_part(Technology, "lstp-28nm"))
    share = np.log(32 / 28) / np.log(32 / 22)
    fields = (
        *("vdd", "vth", "gate_length", "ideal_gate_capacitance", "fringe_capacitance", "resistance_multiplier"),
        *("gm_current_n", "gm_current_p", "ion_n", "ion_p", "ioff_n", "ioff_p"),
        *("wire_width", "wire_aspect_ratio", "wire_resistivity"),
    )
    for field in fields:
        low, high = getattr(below, field), getattr(above, field)
        assert getattr(between, field) == pytest.approx(high * (low / high) ** share, rel=1e-3), field
    areas = [cost(Chip(technology=Technology(node_nm=22)), Periphery()).area]
    areas += [cost(Chip(technology=load_part(Technology, "lstp-28nm")), Periphery()).area]
    areas += [cost(Chip(technology=Technology(node_nm=32)), Periphery()).area]
    assert areas == sorted(areas)


@pytest.mark.parametrize(("node_nm", "roadmap"), [(45, "LSTP"), (130, "HP"), (7, "LSTP")])
def test_a_process_with_the_constants_of_a_node_is_that_node_bit_for_bit(node_nm: Any, roadmap: Any) -> None:
    hot = Technology(node_nm=node_nm, roadmap=roadmap, temperature_k=345)
    p = process_of(hot)
    fins = {"fin_height_m": p.fin_height, "fin_width_m": p.fin_width, "fin_pitch_m": p.fin_pitch} if p.finfet else {}
    currents = {
        f"{state}_current_{kind}_a_per_m": [getattr(process_of(hot.replace(temperature_k=k)), name) for k in TEN]
        for state, kind, name in (
            ("on", "n", "ion_n"),
            ("on", "p", "ion_p"),
            ("off", "n", "ioff_n"),
            ("off", "p", "ioff_p"),
        )
    }
    data = {
        "name": "copy",
        "source": "copied in this test",
        "feature_nm": node_nm,
        "vdd_v": p.vdd,
        "vth_v": p.vth,
        "gate_length_m": p.gate_length,
        "ideal_gate_capacitance_f_per_m": p.ideal_gate_capacitance,
        "fringe_capacitance_f_per_m": p.fringe_capacitance,
        "resistance_multiplier": p.resistance_multiplier,
        "gm_current_n_a_per_m": p.gm_current_n,
        "gm_current_p_a_per_m": p.gm_current_p,
        "wire_width_nm": round(p.wire_width * 1e9, 6),
        "wire_aspect_ratio": p.wire_aspect_ratio,
        "wire_resistivity_ohm_m": p.wire_resistivity,
    }
    copy = Technology.parse(
        {"node_nm": node_nm, "roadmap": roadmap, "temperature_k": 345, "process": {**data, **currents, **fins}}
    )
    assert process_of(copy) == p


TEN = range(300, 401, 10)
"""Temperatures at which currents are tabulated. [K]"""


def test_one_current_holds_for_all_temperatures() -> None:
    data = load_part(Technology, "lstp-28nm").model_dump()
    data["process"]["on_current_n_a_per_m"] = 600
    found = [process_of(Technology.parse(data | {"temperature_k": kelvin})).ion_n for kelvin in (300, 345, 400)]
    assert found == [600.0] * 3


# The page


def examples() -> dict[str, str]:
    """The files that docs/own-parts.md shows, by name."""
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    return dict(blocks)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with these files."""
    for name, text in examples().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_page_shows_one_of_each() -> None:
    assert list(examples()) == [
        *(
            "example-adc.yaml",
            "example-search.yaml",
            "example-device.yaml",
            "example-technology.yaml",
            "example-chip.yaml",
        )
    ]


def test_the_pages_files_make_a_chip(page: Path) -> None:
    design = read_design(page / "example-chip.yaml")
    assert design.chip.adcs == (load_part(Adc, str(page / "example-adc.yaml")),)
    assert design.chip.device.name == "example-rram"
    assert design.chip.technology.feature_nm == 40
    found = evaluate(design)
    assert found.to_dict()["layers"][0]["adc_type"] == "example"
    assert found.area > 0
    # It is made of what the files say.
    node = yaml.safe_load((page / "example-technology.yaml").read_text())
    del node["process"]
    (page / "example-technology.yaml").write_text(yaml.safe_dump(node))
    assert evaluate(read_design(page / "example-chip.yaml")).area > found.area


def test_the_pages_python_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(page)
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the page's own code
    assert names["chip"].adc_types == (*ADCS.names(), "example")


def test_the_pages_search_space_can_be_tabulated(page: Path) -> None:
    config = SearchConfig.read(page / "example-search.yaml")
    options = [
        Periphery(adc_type=kind, columns_per_adc=columns)
        for kind in config.periphery.adc_types
        for columns in config.periphery.columns_per_adc
    ]
    context = evaluate(typical_design(config)).context
    tables = cost_tables(config.chip, search_space(config), options, context=context)
    assert len({float(energy) for energy in tables.layers[3].energy[0, 0]}) == len(options)


def test_the_pages_figures_are_those_of_the_model() -> None:
    """At 32 nm and 6 bits: the published and the derived SAR."""
    figures = load_part(Adc, "murmann-sar-median").figures(32)
    assert [figures[name][6] for name in ("area_um2", "energy_pj", "latency_ns")] == pytest.approx(
        [2300, 1.8, 0.9], rel=0.05
    )
    derived = sar_as_given(Chip()).figures(32)
    assert [derived[name][6] for name in ("area_um2", "latency_ns")] == pytest.approx([300, 7], rel=0.05)
    assert derived["energy_pj"][6] == pytest.approx(0.37, rel=0.05)
