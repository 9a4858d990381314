"""What is broken on purpose is named rightly, and what mends it comes first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import analog_layers, to_analog
from xpert.analog.chain import ROUNDING, sanity_chain
from xpert.analog.conversions import layer_conversions
from xpert.analog.diagnosis import Diagnosis, diagnose
from xpert.analog.draws import chip_generator
from xpert.analog.sampling import Sampling, TestSet
from xpert.analog.snr import rounding_snr
from xpert.design import AnalogSettings, Design
from xpert.errors import ConfigError
from xpert.networks.quantised import calibrate_quantisers, unquantised
from xpert.progress import Progress

Designs = Callable[..., Design]
QUIET: dict[str, Any] = {"adc_offset_sigma": 0.0, "finite_on_off": False}


def pictures(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ten patterns with noise, and which of them each is."""
    patterns = torch.randn((10, 3, 10, 10), generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 10
    return patterns[labels] + 0.6 * torch.randn((number, 3, 10, 10), generator=generator), labels


@pytest.fixture(scope="module")
def trained(model: nn.Module) -> nn.Module:
    """The small network of the other tests, trained to tell the patterns."""
    made = copy.deepcopy(model).train()
    images, labels = pictures(100, seed=3)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.02)
    with unquantised(made):
        for _ in range(40):
            optimiser.zero_grad()
            nn.functional.cross_entropy(made(images), labels).backward()
            optimiser.step()
    made.eval()
    calibrate_quantisers(made, images)
    return made


@pytest.fixture(scope="module")
def test_set() -> TestSet:
    return TestSet(*pictures(80, seed=4), pictures(40, seed=5)[0])


def plain_copy(model: nn.Module) -> nn.Module:
    """The network in plain layers, as its user has it."""
    made = copy.deepcopy(model)
    for name in ("0", "3", "6"):
        layer = made[int(name)]
        plain = nn.Conv2d(
            layer.in_channels, layer.out_channels, 3, layer.stride, layer.padding, groups=layer.groups,
            bias=layer.bias is not None,
        )  # fmt: skip
        plain.load_state_dict(layer.state_dict(), strict=False)
        made[int(name)] = plain
    made[10] = nn.Linear(16, 10)
    made[10].load_state_dict(model[10].state_dict(), strict=False)
    return made


def found(model: nn.Module, design: Design, test: TestSet, **more: Any) -> Diagnosis:
    return diagnose(model, design, test, Sampling(seed=0, n_chips=1), **more)


def with_bits(design: Design, layer: int, **bits: int) -> Design:
    entries = list(design.periphery)
    entries[layer] = entries[layer].replace(**bits)
    return design.replace(periphery=tuple(entries))


def test_nothing_is_wrong(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    reports: list[Progress] = []
    one = found(trained, design_of(8, analog=QUIET), test_set, progress=reports.append)
    assert one.verdict.cause == "none"
    assert one.suggestions == []
    assert [step.name for step in one.chain] == ["float", "traced", "quantised", "ideal"]
    assert all(step.holds for step in one.chain)
    assert one.chain[0].accuracy > 0.95
    assert [report.done for report in reports] == list(range(len(reports)))


def test_chain_bit_for_bit(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    plain = plain_copy(trained)
    steps = {step.name: step for step in sanity_chain(trained, design_of(), test_set, original=plain)}
    assert steps["ideal"].difference == steps["unrounded"].difference == 0
    assert 0 < steps["traced"].difference < ROUNDING
    assert steps["quantised"].against is None
    assert steps["quantised"].difference > ROUNDING
    with torch.no_grad():
        assert torch.equal(steps["ideal"].outputs, trained(test_set.images))


@pytest.mark.parametrize(
    ("analog", "cause", "remedy"),
    [
        ({"adc_range": "full_scale"}, "range", "adc_range=calibrated"),
        ({"adc_tail": 0.3}, "saturation", "adc_tail=0.0001"),
    ],
)
def test_wrong_range(
    trained: nn.Module, design_of: Designs, test_set: TestSet, analog: dict[str, Any], cause: str, remedy: str
) -> None:
    one = found(trained, design_of(5, rows=64, analog=QUIET | analog), test_set)
    assert (one.verdict.cause, one.verdict.layer) == (cause, "0")
    assert one.suggestions[0].setting == remedy
    assert one.suggestions[0].gain.low > 0
    assert "range" in one.verdict.text


@pytest.mark.parametrize(("bits", "cause"), [({"adc_bits": 2}, "conversion"), ({"input_bits": 1}, "rounding")])
def test_too_few_bits_in_one_layer(
    trained: nn.Module, design_of: Designs, test_set: TestSet, bits: dict[str, int], cause: str
) -> None:
    one = found(trained, with_bits(design_of(8, analog=QUIET), 2, **bits), test_set)
    assert (one.verdict.cause, one.verdict.layer) == (cause, "6")
    by_name = {layer.layer: layer for layer in one.layers}
    assert by_name["6"].alone == min(layer.alone for layer in one.layers)
    assert one.suggestions[0].change.startswith("6: ")
    assert ("ADC" in one.suggestions[0].change) == (cause == "conversion")


def test_cells_that_vary(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    one = found(trained, design_of(8, sigma=0.5, analog=QUIET), test_set)
    assert one.verdict.cause == "cells"
    assert "programming" in one.verdict.text


def test_uncalibrated_batch_norm(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    broken = copy.deepcopy(trained)
    for module in broken.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.running_var.mul_(50)
    one = found(broken, design_of(analog=QUIET), test_set)
    assert one.verdict.cause == "batch_norm"
    assert one.ni is None


def test_wrong_weights_and_wrong_classes(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    other = copy.deepcopy(trained)
    for layer in other.children():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()  # no weights at all were loaded
    assert found(other, design_of(), test_set).verdict.cause == "weights"
    shifted = TestSet(test_set.images, (test_set.labels + 1) % 10, test_set.calibration)
    renumbered = found(trained, design_of(), shifted)
    assert renumbered.verdict.cause == "classes"
    assert "renumbered" in renumbered.verdict.text


def test_another_network_than_the_design_describes(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    original = plain_copy(trained)
    with torch.no_grad():
        original[0].weight[0] += 0.2
    one = found(trained, design_of(), test_set, original=original)
    assert one.verdict.cause == "chain"
    assert "'unrounded'" in one.verdict.text


def test_needs_calibration_images(trained: nn.Module, design_of: Designs, test_set: TestSet) -> None:
    with pytest.raises(ConfigError, match="calibration image"):
        found(trained, design_of(), TestSet(test_set.images, test_set.labels, None))


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_conversions_by_hand(model: nn.Module, design_of: Designs, images: Tensor, encoding: str) -> None:
    settings = AnalogSettings(adc_range="full_scale", **QUIET)
    design = design_of(4, 3, rows=32, encoding=encoding, analog=settings)
    rows = {row.layer: row for row in layer_conversions(model, design, images, images, seed=0, positions=1 << 20)}
    analog = to_analog(model, design, generator=chip_generator(0, 0), calibration=images)
    layer = analog_layers(analog)["10"]
    with torch.no_grad():
        vectors = model[:10](images)  # 8-bit inputs, as the design that the model has
        codes = layer.input_code(vectors).value
        cells = layer.conductance[0, 0].flatten(1).double()  # [rows, slices * outputs]
        sums = torch.cat([(codes >> bit & 1).double() @ cells for bit in range(3)]).unflatten(
            1, (layer.code.slices, -1)
        )
        steps = torch.tensor(layer.adc_range.steps, dtype=torch.float64).reshape(1, -1, 1)
        words = (sums / steps).round() - torch.tensor(layer.adc_range.lowest).reshape(1, -1, 1)
    assert rows["10"].below == pytest.approx(float((words < 0).double().mean()))
    assert rows["10"].above == pytest.approx(float((words > 15).double().mean()))
    spans = [int(of_slice.clamp(0, 15).max() - of_slice.clamp(0, 15).min()) + 1 for of_slice in words.unbind(1)]
    assert rows["10"].used == max(spans)
    assert rows["10"].levels == 16
    assert (
        layer_conversions(model, design, images, None, seed=0, settings=settings.replace(adc_range="unbounded")) == []
    )


def test_rounding_snr_by_hand(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of(6, 3)
    ratios = rounding_snr(model, design, images, batch_size=5)
    last = copy.deepcopy(model)
    with torch.no_grad():
        with unquantised(last):
            inputs = last[:10](images)
            exact = last[10](inputs)
        last[10].set_precision(8, 3, symmetric_input=False)
        error = last[10](inputs) - exact
    signal = (exact - exact.mean(dim=0)).square().sum()
    assert ratios["10"] == pytest.approx(10 * math.log10(float(signal / error.square().sum())), abs=1e-3)
