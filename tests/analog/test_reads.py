"""What is computed where groups of rows are read in turn, inputs are pulse widths, or weights have 1 bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from xpert.analog import IDEAL, AnalogLayer, analog_layers, to_analog
from xpert.analog.activity import measure_activity
from xpert.analog.columns import torch_readings
from xpert.analog.grid import Conversion, on_grid
from xpert.analog.precision import as_quantised
from xpert.analog.variation import weight_deviation
from xpert.design import ENCODINGS, AnalogSettings, Chip, Design
from xpert.design.encoding import largest_weight
from xpert.errors import ConfigError
from xpert.hardware import evaluate
from xpert.networks.quantised import QuantLinear, set_weight_noise

NOISY = {"read_noise_sigma": 0.02, "programming_sigma": 0.05}
ERRORS = {"adc_offset_sigma": 0.5, "adc_gain_sigma": 0.01, "adc_noise": 0.3}
FULL_SCALE = IDEAL.replace(adc_range="full_scale").model_dump()


def outputs(model: nn.Module, design: Design, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of the analog network, and of the quantised one."""
    analog = to_analog(model, design, generator=torch.Generator().manual_seed(3), calibration=images)
    with torch.no_grad():
        found = analog(images)
        with as_quantised(analog):
            return found, analog(images)


@pytest.mark.parametrize("coding", ["bit_serial", "pulse_width"])
def test_all_rows_at_once_is_the_default(
    model: nn.Module, images: Tensor, design_of: Callable[..., Design], coding: str
) -> None:
    chip = {"device": NOISY, "analog": ERRORS, "input_coding": coding}
    whole, _ = outputs(model, design_of(input_bits=4, **chip), images)
    groups, _ = outputs(model, design_of(input_bits=4, rows_per_read=16, **chip), images)
    assert torch.equal(whole, groups)


@pytest.mark.parametrize("coding", ["bit_serial", "pulse_width"])
@pytest.mark.parametrize("rows_per_read", [1, 5, 8, 16])
def test_an_ideal_chip_computes_what_the_quantised_network_does(
    model: nn.Module, images: Tensor, design_of: Callable[..., Design], rows_per_read: int, coding: str
) -> None:
    chip = {"rows_per_read": rows_per_read, "analog": FULL_SCALE, "input_coding": coding}
    found, wanted = outputs(model, design_of(adc_bits=12, input_bits=4, **chip), images)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("coding", ["bit_serial", "pulse_width"])
def test_a_group_is_like_a_crossbar_of_its_rows(
    model: nn.Module, images: Tensor, design_of: Callable[..., Design], coding: str
) -> None:
    """Rows and noise alike; it differs by the errors of an ADC, which groups share and crossbars do not."""
    chip = {"device": NOISY, "input_coding": coding, "analog": {"adc_offset_sigma": 0.0}}
    groups, _ = outputs(model, design_of(adc_bits=4, input_bits=4, rows_per_read=4, **chip), images)
    crossbars, _ = outputs(model, design_of(adc_bits=4, input_bits=4, **chip | {"rows": 8, "rows_per_read": 4}), images)
    assert torch.equal(groups, crossbars)  # 16 or 8 rows a crossbar: read four at a time all the same


def test_groups_share_their_adcs(model: nn.Module, design_of: Callable[..., Design]) -> None:
    design = design_of(rows_per_read=4, analog=FULL_SCALE | ERRORS)
    analog = to_analog(model, design, generator=torch.Generator().manual_seed(0))
    layer: AnalogLayer = analog_layers(analog)["0"]
    assert layer.crossbar_blocks == ((0, 16), (16, 27))
    assert layer.blocks == ((0, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 24), (24, 27))
    offset = layer._adc_errors(0).offset
    assert offset is not None
    assert all(torch.equal(offset[0], offset[k]) for k in range(1, 4))
    assert all(torch.equal(offset[4], offset[k]) for k in range(5, 7))
    assert not torch.equal(offset[0], offset[4])


def test_wires_carry_the_current_of_the_rows_that_are_read(
    model: nn.Module, images: Tensor, design_of: Callable[..., Design]
) -> None:
    wires = {"ir_drop": True, "gain_compensation": False, "row_wire_ohm": 3.0, "column_wire_ohm": 30.0}
    analog = IDEAL.replace(**wires).model_dump()
    errors = []
    for rows in (16, 4, 1):
        found, wanted = outputs(model, design_of(rows_per_read=rows, analog=analog), images)
        errors.append(float((found - wanted).square().mean()))
    assert errors[0] > errors[1] > errors[2] > 0


def test_one_bit_is_one_pulse(model: nn.Module, images: Tensor, design_of: Callable[..., Design]) -> None:
    chip = {"device": NOISY, "analog": ERRORS}
    serial, _ = outputs(model, design_of(input_bits=1, **chip), images)
    pulses, _ = outputs(model, design_of(input_bits=1, input_coding="pulse_width", **chip), images)
    assert torch.equal(serial, pulses)


def test_pulses_are_converted_once() -> None:
    """By hand: three rows, one column, codes 3, 0 and 2; a cell's deviation lasts as long as the pulse."""
    conversion = Conversion(torch.tensor([-4.0]), 4, pulses=3)
    columns = on_grid(torch.tensor([[[0.5], [1.5], [-0.25]]]), conversion, ((0, 3),))
    codes = torch.tensor([[[[3, 0, 2], [3, 3, 3], [0, 0, 3]]]])
    found = torch_readings(codes, [columns], 1, [0], 0).flatten().tolist()
    assert found == [1, 5, -1]  # 1.0, 5.25, -0.75
    noisy = Conversion(torch.tensor([-2000.0]), 12, variance=torch.tensor([[[9.0], [0.0], [0.0]]]), pulses=3)
    columns = on_grid(torch.zeros(1, 3, 1), noisy, ((0, 3),))
    many = torch.tensor([3, 0, 0]).expand(1, 1, 20_000, 3)
    spread = torch_readings(many, [columns], 1, [7], 0).double().std()
    assert spread == pytest.approx(9.0, rel=0.03)  # 3 pulses of 3 steps each, in phase


def test_pulses_need_one_range_for_all_bits(model: nn.Module, images: Tensor, design_of: Callable[..., Design]) -> None:
    design = design_of(input_bits=4, input_coding="pulse_width", analog=FULL_SCALE)
    layers = analog_layers(to_analog(model, design, generator=None, calibration=images))
    serial = design_of(input_bits=4, analog=FULL_SCALE)
    others = analog_layers(to_analog(model, serial, generator=None, calibration=images))
    for layer, other in zip(layers.values(), others.values()):
        (low, high), (other_low, other_high) = layer.adc_range.limits[0], other.adc_range.limits[0]
        assert high - low == pytest.approx(15 * (other_high - other_low), rel=0.1)


def test_activity_of_pulses_is_the_share_of_the_time(
    model: nn.Module, images: Tensor, design_of: Callable[..., Design]
) -> None:
    design = measure_activity(model, design_of(input_bits=4, input_coding="pulse_width"), images)
    layer = analog_layers(to_analog(model, design, generator=None, calibration=images))["3"]
    assert design.activity is not None
    assert 0 < design.activity[1].input_bit_density < 1
    assert layer.pulses == 15
    assert float(evaluate(design).energy) > 0


BINARY = [
    pytest.param(encoding, reference, id=f"{encoding}, {reference}")
    for encoding, reference in (("offset", "middle"), ("offset", "off"), ("differential", "middle"))
]


@pytest.mark.parametrize(("encoding", "reference"), BINARY)
@pytest.mark.parametrize("rows_per_read", [None, 4])
def test_binary_weights_are_exact_on_an_ideal_chip(
    model: nn.Module,
    images: Tensor,
    design_of: Callable[..., Design],
    encoding: str,
    reference: str,
    rows_per_read: int | None,
) -> None:
    chip = {
        "weight_bits": 1,
        "encoding": encoding,
        "device": {"cell_bits": 1},
        "rows_per_read": rows_per_read,
        "analog": FULL_SCALE | {"reference": reference},
    }
    found, wanted = outputs(model, design_of(adc_bits=8, **chip), images)
    assert torch.equal(found, wanted)
    assert float(wanted.std()) > 0


@pytest.mark.parametrize("name", ENCODINGS.shipped())
@given(weight=st.sampled_from([-1, 1]))
def test_binary_weights_come_back_from_their_cells(name: str, weight: int) -> None:
    code = ENCODINGS.find(name)(1, 1)
    data, subtracted = code.stored(weight)
    assert data in (0, 1)
    cells = code.digits(data)
    others = code.digits(subtracted) if subtracted is not None else list(code.reference_codes)
    total = sum((a - b) * w for a, b, w in zip(cells, others, code.significance, strict=True))
    assert total + code.input_weight == weight
    assert largest_weight(1) == 1
    assert [largest_weight(bits) for bits in (2, 3, 8)] == [1, 3, 127]


def test_binary_weights_are_signs_times_their_mean() -> None:
    layer = QuantLinear(3, 2, bias=False, weight_bits=1)
    layer.weight.data = torch.tensor([[0.5, -0.25, 0.0], [-1.0, 0.25, 1.0]])
    integer = layer.integer_weight()
    assert integer.value.tolist() == [[1, -1, 1], [-1, 1, 1]]
    assert float(integer.scale) == pytest.approx(0.5)
    set_weight_noise(layer, torch.tensor([0.0, 0.1]), torch.Generator().manual_seed(0))
    noisy = layer.train().quantised_weight()
    # Rounded to integers of 8 bits again.
    torch.testing.assert_close(noisy[integer.value < 0], torch.full((2,), -0.5), rtol=0, atol=0.003)
    assert (noisy[integer.value > 0] - 0.5).abs().max() > 0.01
    with pytest.raises(ConfigError, match=r"weight_bits must be 1 ... 16, got 0"):
        layer.set_precision(0, 8, False)


def test_deviation_of_binary_weights() -> None:
    device = {"cell_bits": 1, "r_on_ohm": 2e4, "r_off_ohm": 2e6, "programming_sigma": 0.1}
    chip = Chip.parse({"weight_bits": 1, "device": device, "analog": AnalogSettings().model_dump()})
    off, on = weight_deviation(chip).tolist()
    # A level counts for 2, and the on state conducts 1.0101 levels.
    assert on == pytest.approx(2 * 0.1 * 1.0101, rel=0.05)
    assert off == pytest.approx(2 * 0.1 * 0.0101, rel=0.05)


def test_pulses_of_too_many_bits_are_refused(design_of: Callable[..., Design]) -> None:
    with pytest.raises(ValueError, match=r"periphery.0.input_bits must be at most 10 for input_coding 'pulse_width'"):
        design_of(input_bits=11, input_coding="pulse_width")
