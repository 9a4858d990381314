"""What the offsets of ADCs do to a layer is found on the calibration images, and subtracted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xpert.analog import (
    AnalogLayer,
    analog_layers,
    layer_errors,
    layer_snr,
    load_analog,
    programmed,
    reprogram,
    save_analog,
    to_analog,
)
from xpert.analog import layer as layer_module
from xpert.analog.draws import chip_generator
from xpert.analog.program import AdcErrors, adc_errors
from xpert.design import AnalogSettings, Chip, Design, Device, Network, Periphery
from xpert.networks.quantised import QuantLinear, calibrate_quantisers
from xpert.workload.trace import trace

Designs = Callable[..., Design]


@pytest.fixture
def whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ADC is off by a whole number of steps within -2 ... 2, all levels of a flash ADC alike."""

    def errors(*arguments: Any) -> AdcErrors:
        found = adc_errors(*arguments)
        if found.offset is not None:
            return found._replace(offset=found.offset.round().clamp(-2, 2))
        if found.levels is not None:
            of_adc = found.levels[..., :1].round().clamp(-2, 2)
            return found._replace(levels=of_adc.expand_as(found.levels))
        return found

    monkeypatch.setattr(programmed, "adc_errors", errors)


def off(chosen: AnalogSettings) -> AnalogSettings:
    return chosen.replace(adc_offset_compensation=False)


EXACT: dict[str, dict[str, Any]] = {
    "offset": {},
    "two's complement": {"analog": {"signed_inputs": "twos_complement"}},
    "differential": {"encoding": "differential"},
    "pulse widths": {"input_coding": "pulse_width"},
    "groups of rows": {"rows_per_read": 4},
    "reference off": {"analog": {"reference": "off"}},
}


@pytest.mark.usefixtures("whole_steps")
@pytest.mark.parametrize("adc_type", ["sar", "flash"])
@pytest.mark.parametrize("changes", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("images_given", [True, False])
def test_offsets_of_whole_steps_are_gone(
    model: nn.Module, design_of: Designs, images: Tensor, adc_type: str, changes: dict, images_given: bool
) -> None:
    """Where nothing clips; a correction of the wrong sign would double them. An input of zeros shows them as well."""
    wide = {"adc_range": "full_scale", "finite_on_off": False, "adc_offset_sigma": 1.0} | changes.get("analog", {})
    # 16 rows of 1-bit cells in 10 bits: no sum is within 2 steps of the window's ends.
    device = {"cell_bits": 1, "programming_sigma": 0.0}
    design = design_of(**{"device": device} | changes | {"analog": wide})
    bits = 4 if "input_coding" in changes else 8
    design = design.replace(periphery=tuple(Periphery(adc_type=adc_type, adc_bits=10, input_bits=bits) for _ in "0346"))
    calibration = images if images_given else None
    chosen = design.chip.analog
    exact, without, found = (
        to_analog(model, design, generator=chip_generator(1, 0), settings=one, calibration=calibration)
        for one in (chosen.replace(adc_offset_sigma=0), off(chosen), chosen)
    )
    with torch.no_grad():
        assert torch.equal(found(images), exact(images))
        assert (without(images) - exact(images)).norm() > 0.05 * exact(images).norm()


def test_digital_cells_behind_sar_adcs_err_no_more_than_without_offsets() -> None:
    """SRAM cells hold integers, which an offset below half a step does not move: only whole steps are to be taken off.

    To subtract offsets as they are would add an error where there is none.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        model = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), head).eval()
        x = torch.randn(32, 3, 16, 16)
    layers = trace(model, (3, 16, 16))
    network = Network(backbone="custom", input_shape=(3, 16, 16), layers=layers)
    chip = Chip(device=Device(cell="sram", cell_bits=1))
    design = Design.homogeneous(network, chip, Periphery(adc_bits=8))

    def error(chosen: AnalogSettings) -> float:
        analog = to_analog(model, design, generator=chip_generator(0, 0), settings=chosen, calibration=x)
        with torch.no_grad():
            return float((analog(x) - model(x)).norm() / model(x).norm())

    assert error(chip.analog) < 0.006
    assert error(off(chip.analog)) > 0.05


KINDS = st.fixed_dictionaries({
    "adc_offset_sigma": st.sampled_from([0.1, 0.5, 3.0]),
    "adc_gain_sigma": st.sampled_from([0.0, 0.05]),
    "signed_inputs": st.sampled_from(["offset", "twos_complement"]),
    "adc_range": st.sampled_from(["calibrated", "full_scale", "learned"]),
})  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), KINDS, st.sampled_from(["sar", "flash", "ramp"]), st.integers(2, 8), st.booleans())
def test_on_the_calibration_samples_nothing_is_left_in_the_mean(
    seed: int, chosen: dict[str, Any], adc_type: str, adc_bits: int, signed: bool
) -> None:
    """Clipping or not. What is subtracted is a whole number of the adders' units, the same for all inputs."""
    periphery = Periphery(adc_type=adc_type, adc_bits=adc_bits, input_bits=5)
    layer, x = quantised(seed, signed)

    def sums(**more: Any) -> tuple[Tensor, float]:
        chosen_here = AnalogSettings(adc_tail=0.01).replace(**chosen | more)
        analog = AnalogLayer(copy.deepcopy(layer), Chip(rows=16, columns=16, analog=chosen_here), periphery).eval()
        if chosen_here.adc_range == "learned":
            analog.adc_scale.data.fill_(0.7)
        samples = analog.sample_inputs(x, 24)
        analog.calibrate_adcs(samples)
        analog.program(torch.Generator().manual_seed(seed))
        codes = analog.stored(analog.input_code(samples).value)
        return analog.accumulate(codes.unsqueeze(0)), analog.adc_range.unit

    (found, unit), (without, _), (exact, _) = sums(), sums(adc_offset_compensation=False), sums(adc_offset_sigma=0)
    assert (found - exact).mean(dim=2).abs().max() <= unit * 0.5001
    taken = (without - found) / unit
    torch.testing.assert_close(taken, taken[:, :, :1].round().expand_as(taken), rtol=0, atol=1e-6)


def quantised(seed: int, signed: bool) -> tuple[QuantLinear, Tensor]:
    """A linear layer, and inputs for it."""
    layer = QuantLinear(40, 12, bias=False, signed_input=signed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    x = torch.randn((24, 40), generator=generator)
    x = x if signed else x.relu()
    calibrate_quantisers(nn.Sequential(layer), x)
    return layer, x


@pytest.mark.parametrize(
    "changes",
    [{"adc_offset_sigma": 0, "adc_gain_sigma": 0.1, "adc_noise": 0.3}, {"adc_range": "unbounded"}],
    ids=["no offsets", "no ADC"],
)
def test_without_offsets_nothing_changes(model: nn.Module, design_of: Designs, images: Tensor, changes: dict) -> None:
    chosen = AnalogSettings(**changes)
    found, without = (
        to_analog(model, design_of(4, sigma=0.1), generator=chip_generator(1, 0), settings=one, calibration=images)
        for one in (chosen, off(chosen))
    )
    with torch.no_grad():
        assert torch.equal(found(images), without(images))


def test_a_chip_measures_once(
    model: nn.Module, design_of: Designs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again where it, its ADCs or their range are others; images that it has read are not counted."""
    measured = 0
    measure = AnalogLayer._mean_shift

    def counted(*arguments: Any) -> Tensor:
        nonlocal measured
        measured += 1
        return measure(*arguments)

    monkeypatch.setattr(AnalogLayer, "_mean_shift", counted)
    learned = AnalogSettings(adc_range="learned", adc_noise=0.3)
    analog = to_analog(model, design_of(), generator=chip_generator(1, 0), settings=learned, calibration=images)
    layers = list(analog_layers(analog).values())

    def newly(change: Callable[[], object] = lambda: None) -> int:
        nonlocal measured
        change()
        measured = 0
        with torch.no_grad():
            analog(images)
            analog(images)
        return measured

    assert newly() == len(layers)
    assert newly() == 0
    assert newly(lambda: layers[1].set_periphery(Periphery(adc_bits=4, input_bits=8))) == 1
    assert newly(lambda: layers[0].adc_scale.data.mul_(1.1)) == 1
    assert newly(lambda: reprogram(analog, chip_generator(1, 1))) == len(layers)
    assert {layer.images_read for layer in layers} == {2 * len(images)}
    reprogram(analog, None)
    assert newly() == 0  # nothing is random on it


def test_many_samples_are_measured_in_parts(
    model: nn.Module, design_of: Designs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = AnalogSettings(adc_noise=0.4, signed_inputs="twos_complement")

    def outputs() -> Tensor:
        analog = to_analog(model, design_of(), generator=chip_generator(1, 0), settings=noisy, calibration=images)
        with torch.no_grad():
            return analog(images)

    at_once = outputs()
    monkeypatch.setattr(layer_module, "_MEASURED", 7)
    assert torch.equal(outputs(), at_once)


@pytest.mark.parametrize("range_", ["calibrated", "full_scale"])
def test_a_saved_chip_is_compensated_as_it_was(
    model: nn.Module, design_of: Designs, images: Tensor, tmp_path: Any, range_: Any
) -> None:
    design = design_of(sigma=0.1)
    chosen = AnalogSettings(adc_range=range_, adc_noise=0.2)
    analog = to_analog(model, design, generator=chip_generator(1, 0), settings=chosen, calibration=images)
    save_analog(analog, tmp_path / "chip.safetensors")
    again = load_analog(model, design, tmp_path / "chip.safetensors", settings=chosen)
    uncompensated = load_analog(model, design, tmp_path / "chip.safetensors", settings=off(chosen))
    with torch.no_grad():
        assert torch.equal(again(images), analog(images))
        assert not torch.equal(again(images), uncompensated(images))


@pytest.mark.parametrize("adc_type", ["sar", "flash"])
def test_layers_err_less_with_it(model: nn.Module, design_of: Designs, images: Tensor, adc_type: str) -> None:
    """In the table that phase 2 starts from, and in each layer's ratio of signal to error."""
    design = design_of(4, analog={"adc_offset_sigma": 0.5})
    design = design.replace(periphery=tuple(one.replace(adc_type=adc_type) for one in design.periphery))
    on = design.chip.analog

    def errors(chosen: AnalogSettings) -> Any:
        generator = torch.Generator().manual_seed(2)
        return layer_errors(model, design, images, [(4, 8), (5, 8)], generator=generator, settings=chosen)

    assert (errors(on) < errors(off(on))).all()
    found, without = (layer_snr(model, design, images, images, seed=0, settings=one) for one in (on, off(on)))
    assert all(one.own > other.own for one, other in zip(found, without, strict=True))
