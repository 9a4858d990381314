"""Layers of any shape on crossbars: what they compute, which designs fit them, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from xpert.analog import IDEAL, AnalogSettings, analog_layers, load_analog, measure_activity, save_analog, to_analog
from xpert.analog.draws import chip_generator
from xpert.design import Chip, Design, Network, Periphery
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.networks.quantised import quantise, quantised_layers
from xpert.workload.trace import trace


def images(*shape: int) -> Tensor:
    return torch.randn((4, *shape), generator=torch.Generator().manual_seed(4))


def design_of(model: nn.Module, shape: tuple[int, ...], **chip: Any) -> Design:
    network = Network(backbone="custom", input_shape=shape, layers=trace(model, shape))
    return Design.homogeneous(network, Chip.parse({"rows": 32, "columns": 32, **chip}), Periphery(input_bits=8))


def seeded(build: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build().eval()


SHAPES = [
    (lambda: nn.Conv1d(4, 6, 5, 2, 3, dilation=2, groups=2), (4, 20)),
    (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (2, 1), (2, 1), 2), (4, 9, 8)),
    (lambda: nn.Conv2d(4, 6, 4, padding="same"), (4, 9, 8)),
    (lambda: nn.ConvTranspose2d(4, 6, 2, 2), (4, 5, 6)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), (4, 5, 6)),
    (lambda: nn.ConvTranspose2d(4, 6, (4, 5), (2, 3), (3, 0), (1, 2), 2, False), (4, 5, 6)),
    (lambda: nn.ConvTranspose2d(4, 4, 3, (1, 3), (2, 4), 0, 2, True, (2, 3)), (4, 6, 7)),
    (lambda: nn.ConvTranspose2d(4, 6, 1, 3), (4, 5, 6)),
    (lambda: nn.ConvTranspose1d(4, 6, 5, 3, 2, 2), (4, 7)),
    (lambda: nn.Linear(6, 5), (3, 4, 6)),
    (lambda: nn.Conv2d(12, 12, 3, padding=1, groups=12), (12, 5, 6)),
    (lambda: nn.Conv2d(12, 24, 2, groups=6), (12, 5, 6)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize(("build", "shape"), SHAPES)
def test_crossbars_compute_what_the_layer_does(build: Any, shape: tuple[int, ...], pack: bool) -> None:
    model, x = seeded(build), images(*shape)
    design = design_of(model, shape, pack_groups=pack)
    exact = quantise(model, x)
    with torch.no_grad():
        expected, plain = exact(x), model(x)
        for settings in (IDEAL, AnalogSettings(adc_range="unbounded")):
            # Nothing is random and nothing rounds: the integers' own sums, whatever the encoding adds and takes off.
            analog = to_analog(model, design, generator=None, settings=settings, calibration=x)
            torch.testing.assert_close(analog(x), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == plain.shape
    assert (expected - plain).std() < 0.03 * plain.std()
    with torch.enable_grad():
        assert analog(x.requires_grad_()).requires_grad


def test_positions_of_a_transposed_convolution_are_those_that_are_computed() -> None:
    model = nn.ConvTranspose2d(4, 6, (4, 5), (2, 3), (3, 0), (1, 2), 2)
    design = design_of(model, (4, 5, 6))
    analog = to_analog(model, design, generator=None, settings=IDEAL, calibration=images(4, 5, 6))
    (layer,) = analog_layers(analog).values()
    height, width = layer.geometry.positions(5, 6)
    evaluation = evaluate(design)
    assert evaluation.workload.positions.tolist() == [height * width]
    groups, rows, outputs = layer.weights.shape
    assert evaluation.workload.matrix_rows.tolist() == [rows]
    assert evaluation.workload.out_channels.tolist() == [groups * outputs]
    assert evaluation.operations == 2 * design.network.macs == 2 * 4 * 5 * 6 * 3 * 4 * 5


def test_packed_groups_share_crossbars_and_drive_their_rows() -> None:
    model, shape = nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), (24, 8, 8)
    alone, packed = (evaluate(design_of(model, shape, pack_groups=pack)) for pack in (False, True))
    # 9 rows and 2 columns a group: 3 of 24 groups fit into 32 x 32 cells, 8 crossbars in the place of 24.
    assert packed.tiles < alone.tiles or packed.utilization > alone.utilization
    assert packed.operations == alone.operations
    analog = to_analog(
        model, design_of(model, shape, pack_groups=True), generator=None, settings=IDEAL, calibration=images(*shape)
    )
    (layer,) = analog_layers(analog).values()
    assert layer.weights.shape == (8, 27, 3)
    assert int((layer.weights != 0).sum()) <= model.weight.numel()
    with pytest.raises(ConfigError, match="pack_groups needs weights of 0"):
        Chip.parse({"pack_groups": True, "weight_bits": 1, "device": {"cell_bits": 1}})


class Parts(nn.Module):
    """A depthwise convolution, a head that only training uses, and a layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.body = nn.Sequential(self.first, nn.ReLU(), self.deep, nn.ReLU())
        self.head, self.training_only = nn.Linear(8, 4), nn.Linear(8, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


SHAPE = (3, 8, 8)


def digital(design: Design, *names: str) -> Design:
    layers = (layer.replace(digital=layer.name in names) for layer in design.network.layers)
    return design.replace(network=design.network.replace(layers=tuple(layers)))


def test_layers_stay_digital_and_unused_heads_do_not_matter(tmp_path: Path) -> None:
    model, x = seeded(Parts), images(*SHAPE)
    design = digital(design_of(model, SHAPE, device={"programming_sigma": 0.3}), "deep")
    analog: Any = to_analog(model, design, generator=chip_generator(0, 0), calibration=x)
    assert list(analog_layers(analog)) == ["first", "head"]
    assert analog.body[0] is analog.first  # replaced under both names
    assert not isinstance(analog.training_only, AnalogSettings)
    with torch.no_grad():
        exact: Any = quantise(model, x)
        seen = exact.deep(F.relu(analog.first(x)))
        torch.testing.assert_close(analog.deep(F.relu(analog.first(x))), seen)
    save_analog(analog, tmp_path / "a.safetensors")
    with torch.no_grad():
        again = load_analog(model, design, tmp_path / "a.safetensors")
        assert torch.equal(again(x), analog(x))
    activity = measure_activity(model, design, x).activity
    assert activity is not None
    assert len(activity) == 3
    left = design.replace(
        network=design.network.replace(layers=design.network.layers[::2]), periphery=design.periphery[::2]
    )
    with pytest.raises(ConfigError, match=r"'deep' of the model is not in the design.*digital: true"):
        to_analog(model, left, generator=None, calibration=x)


def test_a_layer_that_runs_noise_is_on_crossbars_under_every_name() -> None:
    model, x = seeded(Parts), images(*SHAPE)
    coarse = design_of(model, SHAPE, device={"programming_sigma": 1.0}, analog={"adc_range": "full_scale"})
    analog = to_analog(model, coarse, generator=chip_generator(0, 0), calibration=x)
    with torch.no_grad():
        assert (analog(x) - model(x)).std() > 0.1 * model(x).std()


def test_a_network_that_is_one_layer() -> None:
    model, x = seeded(lambda: nn.Linear(16, 10)), images(1, 1, 16)
    analog = to_analog(model, design_of(model, (1, 1, 16)), generator=None, settings=IDEAL, calibration=x)
    assert list(analog_layers(analog)) == ["module"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 2}, "'first': the design says stride 2, the model has 1"),
        ({"padding": 0}, "'first': the design says padding 0, the model has 1"),
        ({"in_height": 16}, "'first': the design says in_height 16, the model has 8"),
        ({"uses": 3}, "'first': the design says uses 3, the model has 1"),
        ({"dilation": 2}, "'first': the design says dilation 2, the model has 1"),
        ({"in_channels": 6, "groups": 2}, "'first': the design says in_channels 6, the model has 3"),
    ],
)
def test_a_design_of_something_else_is_refused(changes: dict[str, Any], message: str) -> None:
    model = seeded(Parts)
    design = design_of(model, SHAPE)
    first, *others = design.network.layers
    wrong = design.replace(network=design.network.replace(layers=(first.replace(**changes), *others)))
    with pytest.raises(ConfigError, match=message):
        to_analog(model, wrong, generator=None, calibration=images(*SHAPE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_in_other_formats_answer_in_theirs(dtype: torch.dtype) -> None:
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    )
    x = images(*SHAPE)
    design = design_of(model, SHAPE)
    expected = to_analog(model, design, generator=None, calibration=x)(x)
    found = to_analog(model.to(dtype), design, generator=None, calibration=x.to(dtype))(x.to(dtype))
    assert found.dtype == dtype
    assert (found.float() - expected).std() < 0.1 * expected.std()


def pruned(layer: nn.Conv2d) -> nn.Module:
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(
    "change", [pruned, parametrizations.weight_norm, nn.utils.weight_norm, parametrizations.spectral_norm]
)
@pytest.mark.parametrize("ran", [False, True])
def test_computed_weights_are_taken_as_they_are(change: Any, ran: bool) -> None:
    model, x = (
        seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))),
        images(*SHAPE),
    )
    model[0] = change(model[0])
    model.eval()
    if ran:
        model(x)
    analog = to_analog(model, design_of(model, SHAPE), generator=None, settings=IDEAL, calibration=x)
    with torch.no_grad():
        torch.testing.assert_close(analog(x), model(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("quantised", [False, True])
def test_numbers_that_are_not_finite_are_named(value: float, quantised: bool) -> None:
    model, x = seeded(Parts), images(*SHAPE)
    design = design_of(model, SHAPE)
    if quantised:
        model: Any = quantise(model, x)
        assert list(quantised_layers(model)) == ["first", "deep", "head"]
    with torch.no_grad():
        model.deep.weight[0, 0, 1, 1] = value
    with pytest.raises(ConfigError, match="layer 'deep': its weight holds numbers that are not finite"):
        to_analog(model, design, generator=None, calibration=x)
    with pytest.raises(ConfigError, match="the images hold numbers that are not finite"):
        quantise(seeded(Parts), x * value)


def test_what_the_crossbars_cannot_pad_is_named() -> None:
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")), images(*SHAPE)
    with pytest.raises(ConfigError, match="layer '0': padding_mode must be 'zeros'"):
        to_analog(model, design_of(model, SHAPE), generator=None, calibration=x)


def test_whatever_a_model_raises_is_one_line() -> None:
    class Wants224(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[2] == 224, "expected 224"
            return x

    model = nn.Sequential(nn.Conv2d(3, 8, 3), Wants224())
    with pytest.raises(ConfigError, match="the model does not run on images of 3x8x8: AssertionError: expected 224"):
        quantise(model, images(*SHAPE))
