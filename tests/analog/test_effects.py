"""What devices, reads and ADCs do, by hand and by statistics."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import AnalogLayer, AnalogSettings, analog_layers, reprogram, rewind, to_analog
from xpert.analog.cell_states import cell_conductance, largest, pedestal
from xpert.analog.cells import encode
from xpert.analog.draws import Draws, chip_generator
from xpert.analog.program import adc_errors
from xpert.design import ADCS, IDEAL, Chip, Design, Device, Periphery
from xpert.errors import ConfigError
from xpert.hardware.adcs import AdcEffect, AdcKind, Normal
from xpert.hardware.adcs.sar import SAR
from xpert.networks.quantised import QuantLinear, calibrate_quantisers, quantised_layers

Designs = Callable[..., Design]
ON = AnalogSettings()
UNCOMPENSATED = {"adc_offset_compensation": False}
CODES = torch.arange(16).repeat(20_000, 1)


def draws(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def conductance(device: Device, chosen: AnalogSettings = ON, seed: int | None = 0) -> Tensor:
    """[20000, 16 states], in levels."""
    return cell_conductance(CODES, device, chosen, None if seed is None else draws(seed))


# Devices


def test_absolute_and_proportional_variation_add_as_independent_errors() -> None:
    # On/off ratio 16: states conduct 1 ... 16 levels.
    device = Device(r_on_ohm=1e4, r_off_ohm=16e4, programming_sigma=0.03, programming_sigma_absolute=0.02)
    states = torch.arange(1.0, 17, dtype=torch.float64)
    found = conductance(device)
    torch.testing.assert_close(found.std(dim=0), ((0.03 * states) ** 2 + 0.32**2).sqrt(), rtol=0.03, atol=0)
    torch.testing.assert_close(found.mean(dim=0), states, rtol=0, atol=0.02)


def test_polynomial_variation() -> None:
    device = Device(r_on_ohm=1e4, r_off_ohm=16e4, programming_sigma=0.9, programming_polynomial=(0.01, 0.06, -0.04))
    x = torch.arange(1.0, 17, dtype=torch.float64) / 16
    torch.testing.assert_close(conductance(device).std(dim=0), 16 * (0.01 + 0.06 * x - 0.04 * x**2), rtol=0.03, atol=0)


def test_table_of_states() -> None:
    # 10 uS per level; off conducts 10 uS.
    states = [{"mean_us": 10 + 9 * i, "sigma_us": 1 + i / 10} for i in range(16)]
    device = Device.parse({"r_on_ohm": 6.25e3, "r_off_ohm": 1e5, "programming_states": states})
    found = conductance(device)
    number = torch.arange(16.0, dtype=torch.float64)
    torch.testing.assert_close(found.mean(dim=0), 1 + 0.9 * number, rtol=0, atol=0.01)
    torch.testing.assert_close(found.std(dim=0), 0.1 + number / 100, rtol=0.03, atol=0)
    torch.testing.assert_close(
        conductance(device, AnalogSettings(finite_on_off=False), None)[0], 0.9 * number, rtol=1e-9, atol=1e-12
    )


def test_drift_by_hand() -> None:
    # From 20 s to 2000 s: two decades; (100)^-0.05 = 0.7943.
    device = Device(programming_sigma=0, drift_nu=0.05, drift_t0_s=20)
    states = torch.arange(16.0, dtype=torch.float64) + pedestal(device, ON)
    later = AnalogSettings(seconds_since_programming=2000)
    torch.testing.assert_close(conductance(device, later)[0], 0.794328 * states, rtol=1e-5, atol=0)
    assert torch.equal(conductance(device, AnalogSettings(seconds_since_programming=20))[0], states)
    spread = conductance(device.replace(drift_nu_sigma=0.01), later)
    exponents = -torch.log10(spread / states) / 2
    assert exponents.mean() == pytest.approx(0.05, abs=1e-4)
    assert exponents.std() == pytest.approx(0.01, rel=0.01)


def test_retention_by_hand() -> None:
    # Three decades at -1 % and 2 % of the on state's conductance.
    device = Device(programming_sigma=0, relaxation_per_decade=-0.01, relaxation_sigma_per_decade=0.005)
    found = conductance(device, AnalogSettings(seconds_since_programming=1000))[:, 8]
    on = largest(device, ON)
    assert found.mean() == pytest.approx(8 + pedestal(device, ON) - 0.03 * on, abs=0.01)
    assert found.std() == pytest.approx(0.015 * on, rel=0.03)


def test_stuck_cells() -> None:
    device = Device(programming_sigma=0, stuck_on_rate=0.03, stuck_off_rate=0.2)
    found = conductance(device)[:, 8]
    assert (found == largest(device, ON)).double().mean() == pytest.approx(0.03, abs=0.004)
    assert (found == pedestal(device, ON)).double().mean() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(conductance(device, AnalogSettings(stuck_cells=False)), conductance(device, ON, None))


def test_nothing_is_random_without_a_generator() -> None:
    device = Device(
        programming_sigma=0.5, drift_nu_sigma=0.1, relaxation_sigma_per_decade=0.1, stuck_on_rate=0.1, drift_nu=0.1
    )
    found = conductance(device, AnalogSettings(seconds_since_programming=10), None)
    expected = (torch.arange(16.0, dtype=torch.float64) + pedestal(device, ON)) * 10**-0.1
    torch.testing.assert_close(found[0], expected)
    assert (found == found[0]).all()


def test_an_effect_leaves_the_draws_of_others_alone() -> None:
    quiet = Device(programming_sigma=0.1)
    faulty = Device(programming_sigma=0.1, stuck_on_rate=0.01, stuck_off_rate=0.01)
    both, alone = conductance(faulty), conductance(quiet)
    intact = (both != largest(faulty, ON)) & (both != pedestal(faulty, ON))
    assert 0.97 < intact.double().mean() < 0.99
    assert torch.equal(both[intact], alone[intact])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1,0.1\n1,2,0.1\n", "line 1: the first line must be state,mean_us,sigma_us, got '0,1,0.1'"),
        ("", "line 1: the first line must be"),
        ("# of 20 chips\nstate,mean_us,sigma_us\n\n0,1,0.1\n2,2,0.1\n", "line 5: state: states are numbered 0, 1, 2"),
        ("state,mean_us,sigma_us\n0,1,0.1\n1,2\n", "line 3: needs state,mean_us,sigma_us, got '1,2'"),
        ("state,mean_us,sigma_us\n0,1,0.1\n1,2,-1\n", "line 3: sigma_us: Input should be greater than or equal to 0"),
        ("state,mean_us,sigma_us\n0,1,0.1\n", "programming_states needs 2 states for cell_bits = 1, got 1"),
        ("state,mean_us,sigma_us\n0,3,0.1\n1,2,0.1\n", "programming_states.1.mean_us: states must conduct more"),
    ],
)
def test_wrong_tables_of_states(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "states.csv").write_text(text)
    with pytest.raises(ConfigError) as refused:
        Device.parse({"cell_bits": 1, "programming_states": "states.csv"}, "f.yaml", tmp_path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_of_states_is_read_beside_its_device(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "states.csv").write_text("# measured\nstate, mean_us, sigma_us\n0, 1, 0.1\n1, 20, 0.5\n")
    (tmp_path / "parts" / "cell.yaml").write_text(
        "name: own\nsource: a measurement of ours\ncell_bits: 1\nprogramming_states: states.csv\n"
    )
    device = Chip.parse({"device": "parts/cell.yaml"}, "f.yaml", tmp_path).device
    assert device.programming_states is not None
    assert [(state.mean_us, state.sigma_us) for state in device.programming_states] == [(1, 0.1), (20, 0.5)]
    assert Chip.parse(Chip(device=device).model_dump()).device == device
    with pytest.raises(ConfigError, match="not both"):
        Device.parse(device.model_dump() | {"programming_polynomial": [0.1]})
    with pytest.raises(ConfigError, match="must not add up to more than 1"):
        Device.parse({"stuck_on_rate": 0.7, "stuck_off_rate": 0.4})


# Reads


def single(chip: Chip, adc_bits: int = 8, weights: int = 20, outputs: int = 6) -> tuple[AnalogLayer, Tensor]:
    """A linear layer on one chip, and one input vector."""
    layer = QuantLinear(weights, outputs, bias=False, input_bits=4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    x = torch.randn((1, weights), generator=generator).relu()
    calibrate_quantisers(nn.Sequential(layer), x)
    analog = AnalogLayer(layer, chip, Periphery(adc_bits=adc_bits, input_bits=4)).eval()
    analog.calibrate_adcs(analog.sample_inputs(x, 16))
    analog.program(chip_generator(0, 0))
    return analog, x


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_read_noise_has_its_variance(encoding: str) -> None:
    chip = Chip(
        rows=8,
        device=Device(programming_sigma=0, read_noise_sigma=0.03),
        encoding=encoding,
        analog=AnalogSettings(adc_range="unbounded"),
    )
    analog, x = single(chip)
    with torch.no_grad():
        found = analog(x.expand(20_000, -1))
    # Cell by cell: every cycle in which a row is on adds (0.03 g)^2 of data and reference, times 4^bit 256^slice.
    codes = analog.input_code(x).value[0]
    cells = encode(analog.weights, analog.code)
    off = pedestal(chip.device, chip.analog)
    per_cell = (0.03 * (cells.data + off)) ** 2 + (0.03 * (cells.reference + off)) ** 2
    cycles = sum(((codes >> bit) & 1) * 4.0**bit for bit in range(4))
    expected = torch.einsum("grso,r,s->o", per_cell, torch.as_tensor(cycles), torch.tensor([1.0, 256.0]))
    step = float(analog.layer.input_grid()[0] * analog.weight_scale)
    torch.testing.assert_close(found.std(dim=0) / step, expected.sqrt(), rtol=0.03, atol=0)
    exact = analog.layer(x)[0]
    torch.testing.assert_close(found.mean(dim=0), exact, rtol=0, atol=float(4 * step * expected.max().sqrt() / 141))


def test_adc_noise_has_its_variance() -> None:
    # Of a column that conducts nothing: readings are the rounded noise, whose variance is 1/12 more.
    chip = Chip(device=Device(programming_sigma=0), analog=AnalogSettings(adc_range="full_scale", adc_noise=1.5))
    analog, x = single(chip, outputs=2)
    with torch.no_grad():
        found = analog(x.expand(20_000, -1))
    steps = torch.tensor(analog.adc_range.steps)
    of_output = sum((16.0**s * float(step)) ** 2 for s, step in enumerate(steps)) * 85 * (1.5**2 + 1 / 12)
    step = float(analog.layer.input_grid()[0] * analog.weight_scale)
    torch.testing.assert_close(found.std(dim=0) / step, torch.full((2,), math.sqrt(of_output)), rtol=0.03, atol=0)


ALL_EFFECTS = AnalogSettings(
    seconds_since_programming=100,
    ir_drop=True,
    adc_offset_sigma=0.5,
    adc_gain_sigma=0.02,
    adc_noise=0.4,
    reference_variation=True,
)
DEVICE = {
    "programming_sigma": 0.03,
    "read_noise_sigma": 0.02,
    "drift_nu": 0.02,
    "drift_nu_sigma": 0.01,
    "stuck_on_rate": 0.001,
    "stuck_off_rate": 0.002,
}


@pytest.fixture
def noisy(model: nn.Module, design_of: Designs, images: Tensor) -> nn.Module:
    """The network on a chip with everything that can be wrong with it."""
    design = design_of(device=DEVICE)
    return to_analog(model, design, generator=chip_generator(3, 0), settings=ALL_EFFECTS, calibration=images)


def test_an_image_does_not_depend_on_its_batch_with_all_effects(noisy: nn.Module, images: Tensor) -> None:
    layer = analog_layers(noisy)["3"]
    x = torch.rand((6, 8, 10, 10), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = layer(x)
        for size in (1, 4):
            rewind(noisy)
            assert torch.equal(torch.cat([layer(part) for part in x.split(size)]), together)
        # The chip reads on: the same images again are disturbed by other noise.
        assert not torch.equal(layer(x), together)
        rewind(noisy)
        first = noisy(images)
        rewind(noisy)
        assert torch.equal(noisy(images), first)


def test_images_are_disturbed_independently(noisy: nn.Module, images: Tensor) -> None:
    layer = analog_layers(noisy)["0"]
    with torch.no_grad():
        same = layer(images[:1].expand(64, -1, -1, -1))
    assert (same[0] != same[1]).any()
    errors = (same - same.mean(dim=0)).flatten(1)
    correlation = torch.corrcoef(errors)
    assert correlation.fill_diagonal_(0).abs().max() < 0.25
    assert errors.std() > 0


def test_same_seed_same_noisy_chip(model: nn.Module, design_of: Designs, images: Tensor, noisy: nn.Module) -> None:
    design = design_of(device=DEVICE)
    again = to_analog(model, design, generator=chip_generator(9, 1), settings=ALL_EFFECTS, calibration=images)
    with torch.no_grad():
        assert not torch.equal(again(images), noisy(images))
        reprogram(again, chip_generator(3, 0))
        rewind(noisy)
        assert torch.equal(again(images), noisy(images))


def test_gradients_pass_through_all_effects(noisy: nn.Module, images: Tensor) -> None:
    noisy(images).square().sum().backward()
    assert all(layer.layer.weight.grad is not None for layer in analog_layers(noisy).values())


# ADCs


def test_columns_that_share_an_adc_share_its_error() -> None:
    analog, _ = single(Chip(columns=16, analog=AnalogSettings(adc_offset_sigma=1.0, adc_gain_sigma=0.1)), outputs=11)
    chip, blocks = analog.chip, ((0, 10), (10, 20))
    errors = adc_errors(chip, analog.layout, blocks, 3, Periphery(columns_per_adc=4), draws())
    # 8 outputs of 2 slices in a crossbar: 4 ADCs of 4 columns; the second crossbar's 6 columns use 2 of its 4.
    assert errors.levels is None
    for found in errors[:2]:
        assert found is not None
        assert found.shape == (2, 3, 22)
        by_slice = found.reshape(2, 3, 2, 11)
        assert torch.equal(by_slice[..., 0, :], by_slice[..., 1, :])
        assert torch.equal(by_slice[..., 0, :8:2], by_slice[..., 0, 1:8:2])
        assert len(by_slice[..., 0, [0, 2, 4, 6, 8, 10]].unique()) == 36
    assert errors.offset is not None
    assert errors.gain is not None
    assert not torch.equal(errors.offset * 0.1, errors.gain)
    many = adc_errors(chip, analog.layout, ((0, 1),) * 3000, 1, Periphery(columns_per_adc=16), draws())
    assert many.offset is not None
    assert many.gain is not None
    assert many.offset.std() == pytest.approx(1, rel=0.05)
    assert many.gain.std() == pytest.approx(0.1, rel=0.05)


@pytest.mark.usefixtures("own_entries")
def test_a_kind_of_adc_says_who_shares_an_error() -> None:
    analog, _ = single(Chip(columns=16, analog=AnalogSettings(adc_offset_sigma=2.0, adc_gain_sigma=0.1)), outputs=11)
    chip, layout, blocks, periphery = analog.chip, analog.layout, ((0, 10), (10, 20)), Periphery(columns_per_adc=4)
    own = adc_errors(chip, layout, blocks, 3, periphery, draws())
    # Unless it says something else: one draw for each ADC, of which there are 4 in each of the two crossbars.
    each = draws().normal("adc_offset", (2, 3, 8), torch.device("cpu"))
    assert own.offset is not None
    assert torch.equal(own.offset, (2.0 * each[..., layout.adc(4).flatten()]).float())

    def errors(effect: AdcEffect, normal: Normal, shape: tuple[int, ...]) -> Tensor:
        assert shape == (2, 3, 2, 4)
        return normal(effect, shape if effect == "adc_offset" else (*shape[:-1], 1))

    ADCS.register(AdcKind(SAR.blocks, errors), "shares")
    shared = adc_errors(chip, layout, blocks, 3, periphery.replace(adc_type="shares"), draws())
    assert shared.offset is not None
    assert shared.gain is not None
    assert torch.equal(shared.offset, own.offset)
    by_crossbar = shared.gain.unflatten(2, (2, 11)).split([8, 3], dim=3)  # [blocks, groups, slices, outputs of each]
    for gains in by_crossbar:
        assert torch.equal(gains, gains[..., :1, :1].expand_as(gains))
    assert len(shared.gain.unique()) == 2 * 3 * 2


def test_each_level_of_a_flash_adc_has_an_offset_of_its_own() -> None:
    analog, _ = single(Chip(columns=16, analog=AnalogSettings(adc_offset_sigma=2.0)), outputs=11)
    errors = adc_errors(
        analog.chip, analog.layout, ((0, 10), (10, 20)), 3, Periphery(adc_type="flash", columns_per_adc=4), draws()
    )
    assert errors.offset is None
    assert errors.levels is not None
    assert errors.levels.shape == (2, 3, 2 * 4, 63)  # 4 ADCs in each of two crossbars
    assert len(errors.levels.unique()) == 2 * 3 * 8 * 63
    assert errors.levels.std() == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("adc_type", ["sar", "flash"])
def test_adcs_follow_the_periphery_on_the_same_chip(adc_type: str) -> None:
    chip = Chip(analog=AnalogSettings(adc_offset_sigma=0.5))
    analog, x = single(chip, outputs=40)
    analog.calibrate_adcs(analog.sample_inputs(x, 64))
    analog.program(torch.Generator().manual_seed(3))
    wanted = Periphery(adc_type=adc_type, columns_per_adc=2, adc_bits=4, input_bits=4)
    with torch.no_grad():
        before = analog(x)
        analog.set_periphery(wanted)
        moved = analog(x)
        analog.set_periphery(Periphery(adc_bits=8, input_bits=4))
        assert torch.equal(analog(x), before)
        fresh, _ = single(chip, outputs=40)
        fresh.set_periphery(wanted)
        fresh.calibrate_adcs(fresh.sample_inputs(x, 64))
        fresh.program(torch.Generator().manual_seed(3))
        assert torch.equal(fresh(x), moved)
    assert not torch.equal(moved, before)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000), st.sampled_from(["adc_offset_sigma", "adc_gain_sigma", "adc_noise"]))
def test_better_adcs_err_less(seed: int, name: str) -> None:
    errors = [
        squared_error(seed, {"programming_sigma": 0}, UNCOMPENSATED | {"adc_offset_sigma": 0, name: size})
        for size in (0.0, 0.1, 1.0)
    ]
    assert errors[0] <= 1.05 * errors[1] < errors[2]


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000), st.sampled_from(["row_wire_ohm", "column_wire_ohm", "driver_ohm", "sense_ohm"]))
def test_less_resistance_errs_less(seed: int, name: str) -> None:
    wires = {"ir_drop": True, "row_wire_ohm": 0.0, "column_wire_ohm": 0.0, "adc_range": "unbounded"}
    errors = [squared_error(seed, {"programming_sigma": 0}, {**wires, name: ohm}) for ohm in (0, 5, 50, 500)]
    assert errors[0] < errors[1] < errors[2] < errors[3]


@settings(deadline=None, max_examples=5)
@given(
    st.integers(0, 1000),
    st.sampled_from(["read_noise_sigma", "drift_nu", "stuck_on_rate", "stuck_off_rate", "relaxation_sigma_per_decade"]),
)
def test_better_devices_err_less(seed: int, name: str) -> None:
    later = {"seconds_since_programming": 1e3}
    errors = [squared_error(seed, {"programming_sigma": 0, name: size}, later, 10) for size in (0.0, 0.02, 0.3)]
    assert errors[0] <= 1.05 * errors[1] < errors[2]


@pytest.mark.parametrize("adc_type", ["sar", "flash"])
def test_larger_offsets_err_more(adc_type: str) -> None:
    """As the cost model builds smaller comparators for them."""
    errors = [
        squared_error(5, {"programming_sigma": 0}, {"adc_offset_sigma": sigma}, 4, adc_type)
        for sigma in (0.0, 0.25, 1.0, 4.0)
    ]
    assert errors == sorted(errors)
    assert errors[1] > 1.05 * errors[0]


def test_offsets_of_levels_do_not_add_up_over_read_cycles_as_those_of_a_converter() -> None:
    """A SAR ADC's offset is in every cycle of a column, a flash ADC's is that of the level at hand."""
    sar, flash = (
        squared_error(5, {"programming_sigma": 0}, UNCOMPENSATED | {"adc_offset_sigma": 1.0}, 4, kind)
        for kind in ("sar", "flash")
    )
    assert flash < sar


def squared_error(seed: int, device: dict, chosen: dict, adc_bits: int = 8, adc_type: str = "sar") -> float:
    """Mean over chips of a layer's squared error."""
    layer = QuantLinear(40, 12, bias=False).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    x = torch.randn((24, 40), generator=generator).relu()
    calibrate_quantisers(nn.Sequential(layer), x)
    chip = Chip(rows=32, device=Device(**device), analog=AnalogSettings(adc_tail=0, **chosen))
    periphery = Periphery(adc_type=adc_type, adc_bits=adc_bits, columns_per_adc=4)
    analog = AnalogLayer(copy.deepcopy(layer), chip, periphery).eval()
    analog.calibrate_adcs(analog.sample_inputs(x, 24))
    total = 0.0
    with torch.no_grad():
        for index in range(4):
            analog.program(chip_generator(seed, index))
            total += float(F.mse_loss(analog(x), layer(x)))
    return total


# Learned ranges


def test_a_learned_range_starts_from_the_calibrated_one(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    learned = to_analog(
        model, design_of(4), generator=None, settings=AnalogSettings(adc_range="learned"), calibration=images
    )
    calibrated = to_analog(model, design_of(4), generator=None, calibration=images)
    with torch.no_grad():
        assert torch.equal(learned(images), calibrated(images))
        for layer in analog_layers(learned).values():
            layer.adc_scale.mul_(2)
        assert analog_layers(learned)["3"].adc_range.unit == 2 * analog_layers(calibrated)["3"].adc_range.unit
        assert not torch.equal(learned(images), calibrated(images))


def test_gradient_of_a_learned_range_by_hand() -> None:
    # One weight of 127 in 1-bit inputs, reference off: w + 128 = 255 = 15 * 16 + 15; 15 levels per slice. With 3-bit
    # ADCs of step t, y = 15/t is read as q: d(step q)/d(scale) = t * (q - y, or q beyond the window).
    chip = Chip(
        device=Device(programming_sigma=0),
        analog=AnalogSettings(adc_range="learned", reference="off", adc_tail=0),
    )
    layer = QuantLinear(1, 1, bias=False, input_bits=1)
    layer.weight.data.fill_(1.0)
    layer.input_clip.data.fill_(1.0)
    analog = AnalogLayer(layer, chip, Periphery(adc_bits=3, input_bits=1)).eval()
    analog.calibrate_adcs(torch.ones(1, 4, 1))
    found = analog.adc_range
    for scale in (1.1, 0.5):
        analog.adc_scale.data.fill_(scale)
        analog.adc_scale.grad = None
        analog(torch.ones(1, 1)).sum().backward()
        expected = 0.0
        for s in range(2):
            step = found.steps[s] * scale
            reading = min(max(round(15 / step), found.lowest[s]), found.lowest[s] + 7)
            inside = found.lowest[s] <= round(15 / step) <= found.lowest[s] + 7
            expected += 16**s * step / scale * (reading - (15 / step if inside else 0))
        assert analog.adc_scale.grad is not None
        assert float(analog.adc_scale.grad) == pytest.approx(expected / 127 / math.sqrt(7), rel=1e-4)


def test_a_range_learns() -> None:
    # Calibrated on an outlier, the range is far too wide for all other inputs.
    layer = QuantLinear(30, 8, bias=False).eval()
    generator = torch.Generator().manual_seed(2)
    layer.weight.data.copy_(torch.randn(layer.weight.shape, generator=generator))
    x = torch.rand((64, 30), generator=generator)
    calibrate_quantisers(nn.Sequential(layer), x)
    chip = Chip(device=Device(programming_sigma=0), analog=AnalogSettings(adc_range="learned", adc_tail=0))
    analog = AnalogLayer(layer, chip, Periphery(adc_bits=4)).eval()
    analog.calibrate_adcs(analog.sample_inputs(x, 64))
    analog.adc_scale.data.fill_(3.0)
    target = layer(x).detach()
    optimiser = torch.optim.Adam([analog.adc_scale], lr=0.1)
    losses = []
    for _ in range(25):
        loss = F.mse_loss(analog(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert 0.1 < analog.adc_scale.item() < 2


def test_two_s_complement_is_the_quantised_network(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    chosen = IDEAL.replace(signed_inputs="twos_complement")
    for bits in (2, 8):
        analog = to_analog(model, design_of(input_bits=bits), generator=None, settings=chosen)
        reference = copy.deepcopy(model)
        for layer in quantised_layers(reference).values():
            layer.set_precision(8, bits, symmetric_input=True)
        with torch.no_grad():
            assert torch.equal(analog(images), reference(images))
    assert int(analog_layers(analog)["0"].layer.input_grid()[1]) == 128
    assert int(analog_layers(analog)["3"].layer.input_grid()[1]) == 0
