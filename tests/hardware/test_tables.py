"""Cost tables: what they say of a design is what `evaluate` says, in the design's own context."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Buffers, Chip, Design, Device, Periphery
from xpert.errors import ConfigError
from xpert.hardware import REFERENCE, cost_tables, evaluate
from xpert.hardware.tables import layer_options
from xpert.networks.spaces import Space, space

OPTIONS = [
    Periphery(adc_type=kind, columns_per_adc=sharing, adc_bits=bits, input_bits=inputs)
    for kind in ("sar", "flash")
    for sharing in (2, 16)
    for bits, inputs in ((4, 2), (6, 8))
]
AUTO = {"subarrays_per_pe": None, "pes_per_tile": None}
CHIPS = {
    "default": Chip(),
    "one clock": Chip(clock="chip"),
    "asynchronous": Chip(synchronous=False),
    "chosen tiles": Chip(**AUTO),
    "novel": Chip(mapping="novel", **AUTO),
    "pipelined": Chip(execution="pipelined", pipeline_speed_up=4),
    "pipelined, small tiles": Chip(execution="pipelined", pipeline_speed_up=8, subarrays_per_pe=1, pes_per_tile=4),
    "sram": Chip(
        device=Device(cell="sram", cell_bits=1, cell_height_f=10, cell_width_f=28),
        buffers=Buffers(global_kind="sram", tile_core_bits=64),
    ),
}


@pytest.fixture(scope="module")
def vgg11() -> Space:
    return space("vgg11", (16, 48, 128))


@pytest.fixture(scope="module")
def resnet20() -> Space:
    return space("resnet20", (8, 24, 64))


def some_design(space: Space, chip: Chip, seed: int) -> tuple[Design, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    widths = generator.integers(0, 3, space.depth)
    options = generator.integers(0, len(OPTIONS), len(space.inputs))
    network = space.network([choices[w] for choices, w in zip(space.choices, widths)])
    return Design(chip=chip, network=network, periphery=tuple(OPTIONS[o] for o in options)), widths, options


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(CHIPS)))
def test_tables_reproduce_the_design_whose_context_they_assume(seed, name, vgg11):
    design, widths, options = some_design(vgg11, CHIPS[name], seed)
    result = evaluate(design)
    tables = cost_tables(design.chip, vgg11, OPTIONS, result.context)
    area, latency, energy = tables.totals(widths, options)
    assert area == pytest.approx(float(result.area), rel=1e-12)
    assert latency == pytest.approx(float(result.latency), rel=1e-12)
    assert energy == pytest.approx(float(result.energy), rel=1e-12)
    chain = [0, *widths, 0]
    entries = [(table, (chain[k], chain[k + 1], options[k])) for k, table in enumerate(tables.layers)]
    leakage = sum(table.leakage[entry] for table, entry in entries) + tables.leakage_constant
    assert leakage == pytest.approx(float(result.leakage_power), rel=1e-12)
    dynamic = sum(table.dynamic_energy[entry] for table, entry in entries)
    assert dynamic == pytest.approx(float(result.dynamic_energy), rel=1e-9)


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_tables_of_a_residual_network_reproduce_the_design_whose_context_they_assume(seed, resnet20):
    design, widths, options = some_design(resnet20, Chip(), seed)
    result = evaluate(design)
    tables = cost_tables(design.chip, resnet20, OPTIONS, result.context)
    assert tables.layers[7].area.shape == (3, 3, 8)  # the first shortcut: from the first stage's width to the second's
    found = tables.totals(widths, options)
    assert found == pytest.approx([float(result.area), float(result.latency), float(result.energy)], rel=1e-12)


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1))
def test_tables_of_other_kernels_and_depths_reproduce_the_design_whose_context_they_assume(seed):
    networks = space("vgg11", (16, 48), kernels=(0, 1, 3, 5))
    generator = np.random.default_rng(seed)
    widths = generator.integers(0, 2, networks.depth)
    options = [int(generator.integers(0, len(row))) for row in layer_options(networks, OPTIONS)]
    for index in (2, 4, 6):  # those that may be left out
        if options[index] == 0:
            widths[index] = widths[index - 1]
    taken = [row[option] for row, option in zip(layer_options(networks, OPTIONS), options, strict=True)]
    channels = [choices[w] for choices, w in zip(networks.choices, widths, strict=True)]
    design = Design(
        network=networks.network(channels, [option.kernel for option in taken]),
        periphery=tuple(option.periphery for option in taken if option.periphery is not None),
    )
    result = evaluate(design)
    found = cost_tables(design.chip, networks, OPTIONS, result.context).totals(widths, np.array(options))
    assert found == pytest.approx([float(result.area), float(result.latency), float(result.energy)], rel=1e-12)


def test_a_layer_cannot_be_left_out_between_different_widths():
    tables = cost_tables(Chip(), space("vgg11", (16, 48), kernels=(0, 3)), OPTIONS)
    left_out = tables.layers[2].latency[..., 0]
    assert tables.layers[2].options[0] == (0, None)
    assert np.array_equal(left_out, [[0, np.inf], [np.inf, 0]])
    assert tables.layers[3].latency.shape == (2, 2, 8)


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_tables_of_missing_blocks_reproduce_the_design_whose_context_they_assume(seed):
    networks = space("resnet20", (0, 8, 24), (3, 16, 16), kernels=(1, 3))
    generator = np.random.default_rng(seed)
    widths = np.array([generator.integers(0, len(options)) for options in networks.choices])
    widths[1] = 0  # the first block
    rows = layer_options(networks, OPTIONS)
    options = [int(generator.integers(0, len(row))) for row in rows]
    taken = [row[option] for row, option in zip(rows, options, strict=True)]
    channels = [choices[w] for choices, w in zip(networks.choices, widths, strict=True)]
    kernels = [option.kernel for option in taken]
    there = networks.present(channels, kernels)
    design = Design(
        network=networks.network(channels, kernels),
        periphery=tuple(option.periphery for option, here in zip(taken, there, strict=True) if here),
    )
    result = evaluate(design)
    tables = cost_tables(design.chip, networks, OPTIONS, result.context)
    found = tables.totals(widths, np.array(options))
    assert found == pytest.approx([float(result.area), float(result.latency), float(result.energy)], rel=1e-12)


def test_what_has_no_inputs_or_outputs_costs_nothing():
    steps = []
    networks, without = space("resnet20", (0, 8, 24)), space("resnet20", (8, 24))
    tables = cost_tables(Chip(), networks, OPTIONS, progress=lambda report: steps.append((report.done, report.total)))
    rest = cost_tables(Chip(), without, OPTIONS, tables.context)
    first, second = tables.layers[1:3]
    assert (first.name, first.in_widths, first.out_widths) == ("block1.conv1", (8, 24), (0, 8, 24))
    assert (second.name, second.in_widths, second.out_widths) == ("block1.conv2", (0, 8, 24), (8, 24))
    for figure in ("area", "latency", "energy", "dynamic_energy", "leakage"):
        assert not getattr(first, figure)[:, 0].any()
        assert not getattr(second, figure)[0].any()
        assert np.array_equal(getattr(first, figure)[:, 1:], getattr(rest.layers[1], figure))
        assert np.array_equal(getattr(second, figure)[1:], getattr(rest.layers[2], figure))
    assert steps[-1] == (sum(table.area[..., 0].size for table in rest.layers),) * 2  # no missing layer is priced


def test_shape_and_names(vgg11):
    steps = []
    tables = cost_tables(Chip(), vgg11, OPTIONS, progress=lambda report: steps.append((report.done, report.total)))
    assert [table.name for table in tables.layers] == [layer.name for layer in vgg11.network((16,) * 8).layers]
    assert tables.layers[0].in_widths == (3,)
    assert tables.layers[0].area.shape == (1, 3, 8)
    assert tables.layers[4].area.shape == (3, 3, 8)
    assert tables.layers[-1].out_widths == (10,)
    assert tables.layers[-1].energy.shape == (3, 1, 8)
    assert tables.layers[4].options == tuple((3, option) for option in OPTIONS)
    assert steps == [(69, 69)]  # 3 + 7 * 9 + 3 layers of different widths
    assert all(np.all(table.energy > table.dynamic_energy) for table in tables.layers)


def test_blocks_of_layers_change_nothing(vgg11, monkeypatch):
    at_once = cost_tables(Chip(), vgg11, OPTIONS)
    monkeypatch.setattr("xpert.hardware.tables._BLOCK", 5 * len(OPTIONS))
    steps = []
    in_blocks = cost_tables(Chip(), vgg11, OPTIONS, progress=lambda report: steps.append((report.done, report.total)))
    assert steps == [(min(5 * k, 69), 69) for k in range(1, 15)]
    for one, other in zip(at_once.layers, in_blocks.layers, strict=True):
        for figure in ("area", "latency", "energy", "dynamic_energy", "leakage"):
            assert np.array_equal(getattr(one, figure), getattr(other, figure))


def test_the_default_context_is_that_of_the_original_network(vgg11):
    original = Design.homogeneous(vgg11.network(vgg11.default_channels), Chip(), OPTIONS[0])
    by_default = cost_tables(Chip(), vgg11, OPTIONS)
    given_ = cost_tables(Chip(), vgg11, OPTIONS, evaluate(original).context)
    assert np.array_equal(by_default.layers[3].energy, given_.layers[3].energy)
    assert by_default.area_constant == given_.area_constant


def test_batches_of_designs(vgg11):
    tables = cost_tables(Chip(), vgg11, OPTIONS)
    generator = np.random.default_rng(5)
    widths, options = generator.integers(0, 3, (2, 50, 8)), generator.integers(0, 8, (2, 50, 9))
    area, latency, energy = tables.totals(widths, options)
    assert area.shape == latency.shape == energy.shape == (2, 50)
    alone = tables.totals(widths[1, 7], options[1, 7])
    assert (area[1, 7], latency[1, 7], energy[1, 7]) == tuple(float(x) for x in alone)
    # One network with many peripheries.
    assert np.array_equal(tables.totals(widths[0, 0], options)[0][1], tables.totals(widths[0, 0], options[1])[0])


def test_indices_may_be_narrow_integers(vgg11):
    tables = cost_tables(Chip(), vgg11, 5 * OPTIONS)  # 360 entries a layer, more than a byte counts
    generator = np.random.default_rng(6)
    widths, options = generator.integers(0, 3, (20, 8)), generator.integers(0, 40, (20, 9))
    narrow = tables.totals(widths.astype(np.uint8), options.astype(np.uint8))
    assert np.array_equal(narrow, tables.totals(widths, options))


def test_what_has_no_tables(vgg11):
    with pytest.raises(ConfigError, match="at least one option"):
        cost_tables(Chip(), vgg11, [])
    with pytest.raises(ConfigError, match="fresh_tree_leakage"):
        cost_tables(Chip(), vgg11, OPTIONS, switches=REFERENCE)


def test_copies_by_the_rule_depend_on_all_kernels_of_a_pipelined_chip():
    networks, chip = space("vgg11", (16,), kernels=(3, 5)), Chip(execution="pipelined", pipeline_speed_up=4)
    cost_tables(chip, networks, [Periphery(copies=2)])
    cost_tables(Chip(), networks, [Periphery()])
    with pytest.raises(ConfigError, match=r"peripheries\.1\.copies: must be chosen on a pipelined chip"):
        cost_tables(chip, networks, [Periphery(copies=2), Periphery()])
