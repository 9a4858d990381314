"""Which effect costs what; which layer errs by how much."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import AnalogSettings, ablation, analog_layers, layer_snr, ni_accuracy, to_analog
from xpert.analog.ablation import active_effects, only, without
from xpert.analog.draws import chip_generator
from xpert.design import IDEAL, OFF, Design, Device
from xpert.progress import Progress

Designs = Callable[..., Design]

EVERYTHING = AnalogSettings(
    seconds_since_programming=100,
    ir_drop=True,
    row_wire_ohm=1.0,
    adc_offset_sigma=0.5,
    adc_gain_sigma=0.05,
    adc_noise=0.5,
)
DEVICE: dict[str, Any] = {
    "programming_sigma": 0.1,
    "read_noise_sigma": 0.05,
    "drift_nu": 0.05,
    "stuck_on_rate": 0.002,
    "stuck_off_rate": 0.002,
}


@pytest.fixture
def labels(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(dim=1)


def test_effects_that_are_on() -> None:
    assert active_effects(EVERYTHING, Device(**DEVICE)) == tuple(OFF)
    assert active_effects(IDEAL, Device(**DEVICE)) == ()
    assert active_effects(AnalogSettings(), Device()) == ("on_off_ratio", "programming", "adc", "adc_offset")
    assert active_effects(AnalogSettings(), Device(programming_sigma=0)) == ("on_off_ratio", "adc", "adc_offset")
    assert "read_noise" in active_effects(AnalogSettings(), Device(read_noise_1f=0.01))
    # Without an ADC its errors are nothing, and before t0 nothing has drifted.
    unbounded = EVERYTHING.replace(adc_range="unbounded", seconds_since_programming=1.0)
    assert active_effects(unbounded, Device(**DEVICE)) == tuple(OFF)[:3] + tuple(OFF)[4:6]


@pytest.mark.parametrize("effect", OFF)
def test_one_effect_alone_and_all_but_one(effect: str) -> None:
    device = Device(**DEVICE)
    with_adc = {effect, "adc"} if effect.startswith("adc_") else {effect}
    assert set(active_effects(only(EVERYTHING, effect), device)) == with_adc
    rest = set(OFF) - {effect}
    if effect == "adc":
        rest -= {"adc_offset", "adc_gain", "adc_noise"}
    assert set(active_effects(without(EVERYTHING, effect), device)) == rest


def test_ablation_measures_the_same_chips(model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor) -> None:
    design = design_of(device=DEVICE)
    settings = AnalogSettings(adc_noise=0.5)
    reports: list[Progress] = []
    found = ablation(model, design, images, labels, images, seed=1, chips=2, settings=settings, progress=reports.append)
    assert [one.effect for one in found] == [
        "on_off_ratio",
        "programming",
        "stuck_cells",
        "read_noise",
        "adc",
        "adc_offset",
        "adc_noise",
    ]
    assert [(report.done, report.total) for report in reports] == [(done, 14) for done in range(14)]
    by_effect = {one.effect: one for one in found}
    for effect in ("programming", "adc"):
        for changed, row in ((only, by_effect[effect].alone), (without, by_effect[effect].without)):
            expected = ni_accuracy(
                model, design, images, labels, images, seed=1, chips=2, settings=changed(settings, effect)
            )
            assert row == expected
    # The on/off ratio alone cancels in the reference column.
    assert by_effect["on_off_ratio"].alone.chips == [1.0, 1.0]


def test_layer_snr_by_hand(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of(5, device=DEVICE)
    settings = AnalogSettings(adc_noise=0.3)
    reports: list[Progress] = []
    found = layer_snr(model, design, images, images, seed=2, batch_size=5, settings=settings, progress=reports.append)
    assert [one.layer for one in found] == list(analog_layers(to_analog(model, design, generator=None, settings=IDEAL)))
    assert reports[-1] == Progress(unit="image", done=12, total=12)
    analog = to_analog(model, design, generator=chip_generator(2, 0), settings=settings, calibration=images)
    with torch.no_grad():
        exact, own = model[:4](images), analog[3](model[:3](images))
        analog[3].images_read = 0
        inside = analog[3](analog[:3](images))
    centred = exact - exact.mean(dim=(0, 2, 3), keepdim=True)
    for value, output in ((found[1].own, own), (found[1].accumulated, inside)):
        expected = 10 * math.log10(float(centred.square().sum() / (output - exact).square().sum()))
        assert value == pytest.approx(expected, abs=0.01)
    assert found[0].own == found[0].accumulated


def test_layers_without_effects_are_exact(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    found = layer_snr(model, design_of(), images, None, seed=0, settings=IDEAL)
    assert all(one.own == one.accumulated == math.inf for one in found)
