"""Batch norms that every chip measures itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import accuracy, layer_errors, ni_accuracy, reprogram, to_analog
from xpert.analog.batch_norm import measure_norms, with_chip_norms
from xpert.analog.draws import chip_generator
from xpert.design import AnalogSettings, Design
from xpert.errors import ConfigError

Designs = Callable[..., Design]

ADAPTIVE = AnalogSettings(adaptive_batch_norm=True)
DRIFTED = AnalogSettings(seconds_since_programming=1e6, gain_compensation=False)
"""What is left of every output is the same small share."""
DRIFT = {"programming_sigma": 0.0, "drift_nu": 0.05}


def right(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(dim=1)


def test_statistics_are_those_that_batch_norm_takes_in_training(
    model: nn.Module, design_of: Designs, images: Tensor
) -> None:
    design = design_of(sigma=0.3, adc_bits=4)

    def on_chip() -> nn.Module:
        return to_analog(model, design, generator=chip_generator(1, 0), settings=ADAPTIVE, calibration=images)

    taught = on_chip()
    norms = [module for module in taught.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        taught(images)
    taught.eval()
    for norm in norms:  # torch keeps the unbiased variance
        n = len(images) * (100 if norm is norms[0] else 25)
        norm.running_var.mul_((n - 1) / n)  # pyright: ignore[reportOptionalMemberAccess]
    adapted = with_chip_norms(on_chip())
    measure_norms(adapted, images, 1)
    with torch.no_grad():
        torch.testing.assert_close(adapted(images[:5]), taught(images[:5]))
        assert not torch.allclose(adapted(images[:5]), on_chip()(images[:5]), rtol=1e-2)


@pytest.mark.parametrize("settings", [ADAPTIVE, AnalogSettings(adaptive_batch_norm=True, adc_noise=0.5)])
def test_chips_together_are_the_chips_alone(
    model: nn.Module, design_of: Designs, images: Tensor, settings: AnalogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = design_of(sigma=0.3, adc_bits=4)
    analog = with_chip_norms(to_analog(model, design, generator=None, settings=settings, calibration=images))
    alone = []
    for chip in range(3):
        reprogram(analog, chip_generator(3, chip))
        measure_norms(analog, images, 1)
        with torch.no_grad():
            alone.append(analog(images[:4]))
    reprogram(analog, [chip_generator(3, chip) for chip in range(3)])
    measure_norms(analog, images, 3)
    with torch.no_grad():
        assert torch.equal(analog(images[:4].repeat(3, 1, 1, 1)), torch.cat(alone))

    labels = right(model, images)
    together = ni_accuracy(model, design, images, labels, images, seed=3, chips=3, settings=settings)
    monkeypatch.setattr(accuracy, "_CHIPS_BYTES", 1)
    assert ni_accuracy(model, design, images, labels, images, seed=3, chips=3, settings=settings) == together


def test_what_changes_alike_in_a_channel_is_made_up_for(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    def after_the_norms(settings: AnalogSettings, adaptive: bool) -> Tensor:
        analog = to_analog(
            model, design_of(device=DRIFT, encoding="differential"), generator=chip_generator(0, 0), settings=settings
        )
        if adaptive:
            measure_norms(with_chip_norms(analog), images, 1)
        with torch.no_grad():
            return nn.Sequential(*analog.children())[:6](images)

    drifted = DRIFTED.replace(adc_range="unbounded")
    fresh = drifted.replace(seconds_since_programming=0.0)
    torch.testing.assert_close(after_the_norms(drifted, True), after_the_norms(fresh, True), rtol=0, atol=0.02)
    assert (after_the_norms(drifted, False) - after_the_norms(fresh, False)).abs().mean() > 0.05


def test_error_model_does_not_count_what_is_made_up_for(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of(device=DRIFT, encoding="differential")

    def errors(**changes: bool) -> list[float]:
        settings = DRIFTED.replace(**{"adc_range": "unbounded"} | changes)
        return layer_errors(model, design, images, [(8, 8)], settings=settings)[:, 0].tolist()

    *convolutions, classifier = errors(adaptive_batch_norm=True)
    assert max(convolutions) < 1e-6 < 0.05 < min(errors())
    assert classifier == errors()[-1]  # nothing after it makes up for it


def test_needs_batch_norm_and_images(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    labels = right(model, images)
    settings = ADAPTIVE.replace(adc_range="full_scale")
    with pytest.raises(ConfigError, match="adaptive_batch_norm needs at least one calibration image"):
        ni_accuracy(model, design_of(), images, labels, None, seed=0, settings=settings)
    plain = nn.Sequential(*(nn.Identity() if isinstance(module, nn.BatchNorm2d) else module for module in model))
    with pytest.raises(ConfigError, match="adaptive_batch_norm: the network has no batch norm"):
        ni_accuracy(plain, design_of(), images, labels, images, seed=0, settings=ADAPTIVE)
