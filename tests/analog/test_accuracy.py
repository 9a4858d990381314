"""NI-accuracy, layer errors, and what conversion refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xpert.analog import (
    IDEAL,
    AnalogSettings,
    NiAccuracy,
    analog_layers,
    at_precision,
    calibrate_adcs,
    layer_errors,
    ni_accuracy,
    reprogram,
    to_analog,
)
from xpert.analog.draws import chip_generator
from xpert.design import Chip, Design, Periphery
from xpert.errors import ConfigError, DataError
from xpert.networks import build, space
from xpert.networks.quantised import QuantConv2d, calibrate_quantisers
from xpert.progress import Progress
from xpert.statistics import accuracy_interval

Designs = Callable[..., Design]


@pytest.fixture
def labels(model: nn.Module, images: Tensor) -> Tensor:
    """What the quantised network answers, two answers changed: its accuracy is 10/12."""
    with torch.no_grad():
        answers = model(images).argmax(dim=1)
    answers[:2] = (answers[:2] + 1) % 10
    return answers


def test_ideal_accuracy_is_the_quantised_networks(
    model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor
) -> None:
    found = ni_accuracy(model, design_of(), images, labels, None, seed=0, chips=2, settings=IDEAL)
    assert found[:3] == (10 / 12, 0.0, [10 / 12, 10 / 12])


def test_a_residual_network_runs_on_crossbars() -> None:
    resnet = space("resnet20", (4,), (1, 8, 8), 10)
    network = resnet.network((4,) * resnet.depth)
    images = torch.randn((8, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    model = build(network)
    model(images)
    calibrate_quantisers(model.eval(), images)
    design = Design.homogeneous(network, Chip(rows=16, columns=16), Periphery(adc_bits=4))
    generator = torch.Generator().manual_seed(0)
    ideal = to_analog(model, design, generator=generator, settings=IDEAL)
    noisy = to_analog(model, design, generator=generator, calibration=images)
    assert list(analog_layers(noisy)) == [layer.name for layer in network.layers]
    with torch.no_grad():
        exact = model(images)
        assert torch.allclose(ideal(images), exact, atol=1e-4)
        assert not torch.allclose(noisy(images), exact, atol=1e-2)


def test_the_interval_counts_images_and_chips() -> None:
    correct = np.random.default_rng(0).random((4, 300)) < np.array([[0.8], [0.9], [0.7], [0.8]])
    found = NiAccuracy.of(correct)
    low, high = accuracy_interval(correct)[1:]
    assert found.interval == (low, high)
    assert found.mean == np.mean(found.chips)
    # Wider than Student's over chips, which takes these images for all there are: t(0.975, 3) s / sqrt(4).
    assert high - low > 2 * 3.1824 * found.std / 2 * 0.9
    assert NiAccuracy.of(correct[:1]).interval is None
    assert NiAccuracy.of(correct[:1]).std == 0


def test_chips_are_counted_one_by_one(model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor) -> None:
    design = design_of(sigma=0.3)
    reports: list[Progress] = []
    found = ni_accuracy(model, design, images, labels, images, seed=5, chips=4, batch_size=5, progress=reports.append)
    expected = []
    for chip in range(4):
        analog = to_analog(model, design, generator=chip_generator(5, chip), calibration=images)
        with torch.no_grad():
            expected.append((analog(images).argmax(dim=1) == labels).double().mean().item())
    assert found.chips == expected
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.std == pytest.approx(np.std(expected, ddof=1))
    assert [report.done for report in reports] == [20, 40, 48]
    assert (reports[-1].unit, reports[-1].total) == ("images", 48)
    assert reports[-1].figures == {"chips": 4, "accuracy": pytest.approx(np.mean(expected))}
    more = ni_accuracy(model, design, images, labels, images, seed=5, chips=2, batch_size=12)
    assert more.chips == expected[:2]
    assert len(set(expected)) > 1


def test_programming_with_ir_drop_is_reported_layer_by_layer(
    model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor
) -> None:
    reports: list[Progress] = []
    design = design_of(analog={"ir_drop": True, "adc_range": "full_scale"})
    ni_accuracy(model, design, images[:2], labels[:2], None, seed=0, chips=2, progress=reports.append)
    assert reports[:4] == [
        Progress(unit="images", done=0, total=4, figures={"chips": 2, "layer": name}) for name in ("0", "3", "6", "10")
    ]
    assert reports[4].done == 4


def test_strong_variation_ruins_the_network(
    model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor
) -> None:
    good = ni_accuracy(model, design_of(sigma=0.001, adc_bits=10), images, labels, images, seed=0, chips=3)
    bad = ni_accuracy(model, design_of(sigma=1.0, adc_bits=10), images, labels, images, seed=0, chips=3)
    assert good.mean > 0.7
    assert bad.mean < good.mean


def test_layer_errors(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    options = [(8, 4), (4, 8), (8, 8), (12, 8), (6, 4), (6, 8)]
    reports: list[Progress] = []
    errors = layer_errors(model, design_of(), images, options, positions=60, progress=reports.append)
    assert errors.shape == (4, 6)
    by_option = dict(zip(options, errors.T, strict=True))
    assert (by_option[12, 8] == 0).all()
    assert (by_option[4, 8] > by_option[6, 8]).all()
    assert (by_option[6, 8] > by_option[12, 8]).all()
    assert (by_option[8, 4] > by_option[8, 8]).all()
    assert reports[-1] == Progress(unit="layer", done=4, total=4, figures={"layer": "10"})


def test_layer_errors_by_hand(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    # Every position of the last layer (one per image), from two real forward passes of that layer.
    analog = to_analog(model, design_of(adc_bits=5, sigma=0.1), generator=chip_generator(0, 0), calibration=images)
    with torch.no_grad():
        inputs = model[:10](images)
        reference = model[10](inputs) - model[10].bias
        output = analog[10](inputs) - model[10].bias
    expected = (output - reference).square().mean() / reference.var(dim=0, correction=0).mean()
    errors = layer_errors(
        model, design_of(sigma=0.1), images, [(5, 8)], generator=chip_generator(0, 0), positions=len(images)
    )
    assert errors[3, 0] == pytest.approx(expected.item(), rel=1e-3)


def test_layer_errors_with_variation_are_seeded(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of(sigma=0.1)
    first, again, other = (
        layer_errors(model, design, images, [(8, 8)], generator=chip_generator(seed, 0), positions=40)
        for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).all()
    assert (first > layer_errors(model, design, images, [(8, 8)], positions=40)).all()


def test_precision_of_each_layer_is_the_designs(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of()
    peripheries = tuple(Periphery(adc_bits=4 + i, input_bits=3 + i) for i in range(4))
    mixed = design.replace(periphery=peripheries)
    analog = to_analog(model, mixed, generator=None, calibration=images)
    found = [(layer.adc_bits, layer.input_bits) for layer in analog_layers(analog).values()]
    assert found == [(4, 3), (5, 4), (6, 5), (7, 6)]
    with at_precision(analog, design):
        assert {(layer.adc_bits, layer.input_bits) for layer in analog_layers(analog).values()} == {(6, 8)}


def test_calibration_images_set_the_range(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, calibration=images)
    layer = analog_layers(analog)["3"]
    before = layer.adc_range
    calibrate_adcs(analog, torch.zeros_like(images))
    assert layer.adc_range != before


def test_state_dict_names(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, calibration=images)
    names = {name for name in analog.state_dict() if name.startswith("0.")}
    assert names == {
        "0.conductance",
        "0.read_variance",
        "0.read_key",
        "0.adc_seed",
        "0.gain",
        "0.samples",
        "0.weights",
        "0.weight_scale",
        "0.layer.weight",
        "0.layer.input_clip",
        "0.layer.input_floor",
    }


def renamed(design: Design, index: int, **changes: object) -> Design:
    layers = list(design.network.layers)
    layers[index] = layers[index].replace(**changes)
    return design.replace(network=design.network.replace(layers=tuple(layers)))


def test_mismatches_are_refused(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    design = design_of()

    def convert(of: nn.Module, to: Design, calibration: Tensor | None = images) -> None:
        to_analog(of, to, generator=None, calibration=calibration)

    with pytest.raises(ConfigError, match="'other' of the design is not a convolution or linear layer"):
        convert(nn.Sequential(*list(model)[1:3]), renamed(design, 0, name="other"))
    with pytest.raises(ConfigError, match="'0' of the model is not in the design"):
        convert(model, renamed(design, 0, name="other"))
    with pytest.raises(ConfigError, match=r"'3'.*kernel"):
        convert(model, renamed(design, 1, kernel_height=5))
    with pytest.raises(ConfigError, match="calibration image"):
        convert(model, design, None)
    with pytest.raises(ConfigError, match="calibration image"):
        convert(model, design, images[:0])
    circular = nn.Sequential(QuantConv2d(3, 8, 3, padding=1, padding_mode="circular"), *list(model)[1:])
    with pytest.raises(ConfigError, match="circular"):
        convert(circular, design)
    analog = to_analog(model, design, generator=None, calibration=images)
    with pytest.raises(ConfigError, match="differ"), at_precision(analog, renamed(design, 0, name="other")):
        pass


def test_bad_counts_are_refused(model: nn.Module, design_of: Designs, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(ConfigError, match="chips must be at least 1, got 0"):
        ni_accuracy(model, design_of(), images, labels, images, seed=0, chips=0)
    with pytest.raises(ConfigError, match="batch_size"):
        ni_accuracy(model, design_of(), images, labels, images, seed=0, batch_size=0)
    with pytest.raises(DataError, match="12 and 11"):
        ni_accuracy(model, design_of(), images, labels[1:], images, seed=0)
    with pytest.raises(DataError, match="0 and 0"):
        ni_accuracy(model, design_of(), images[:0], labels[:0], images, seed=0)
    with pytest.raises(ConfigError, match="option"):
        layer_errors(model, design_of(), images, [])


def test_range_without_samples_is_refused(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, settings=AnalogSettings(adc_range="full_scale"))
    for layer in analog_layers(analog).values():
        layer.chip = layer.chip.replace(analog=AnalogSettings())
        layer.set_periphery(Periphery(adc_bits=5, input_bits=8))
        with pytest.raises(ConfigError, match="calibration images"):
            _ = layer.adc_range


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"reference must be 'middle' for encoding 'differential', .* got 'off'"):
        Chip.parse({"encoding": "differential", "analog": {"reference": "off"}})
    with pytest.raises(ConfigError, match=r"Chip\(encoding=\.\.\.\)"):
        AnalogSettings.parse({"encoding": "differential"})
    with pytest.raises(ValueError, match=r"Chip\(encoding=\.\.\.\)"):
        AnalogSettings(encoding="differential")  # pyright: ignore[reportCallIssue]
    with pytest.raises(ConfigError, match="unknown key"):
        AnalogSettings.parse({"adc": "full"})


def test_reprogram_takes_new_weights(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, settings=IDEAL)
    layer = analog_layers(analog)["0"]
    with torch.no_grad():
        before = layer(images)
        layer.layer.weight.mul_(-2)
        assert torch.equal(layer(images), before)
        reprogram(analog, None)
        torch.testing.assert_close(layer(images), -2 * before)
