"""Several chips at a time: each computes to the bit what it would alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xpert.analog import (
    AnalogSettings,
    accuracy,
    analog_layers,
    layer,
    load_analog,
    native,
    ni_accuracy,
    programmed,
    reprogram,
    save_analog,
    to_analog,
)
from xpert.analog.columns import torch_readings
from xpert.analog.draws import chip_generator
from xpert.analog.grid import Conversion, on_grid
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Design
from xpert.errors import ConfigError
from xpert.search.precision.bench import ChipBench

Designs = Callable[..., Design]

DEVICE = {
    "programming_sigma": 0.1,
    "read_noise_sigma": 0.05,
    "stuck_on_rate": 0.02,
    "drift_nu": 0.05,
    "drift_nu_sigma": 0.01,
}
NOISY = AnalogSettings(
    adc_offset_sigma=0.3, adc_gain_sigma=0.02, adc_noise=0.3, seconds_since_programming=1e4, reference_variation=True
)
KINDS = {
    "everything noisy": NOISY,
    "two's complement": NOISY.replace(signed_inputs="twos_complement"),
    "differential": AnalogSettings(read_noise=False, ir_drop=True),
    "no ADC": AnalogSettings(adc_range="unbounded", read_noise=False),
    "nothing varies": AnalogSettings(
        finite_on_off=False, programming_variation=False, stuck_cells=False, read_noise=False, adc_offset_sigma=0
    ),
}


def generators(chips: int) -> list[torch.Generator]:
    return [chip_generator(3, chip) for chip in range(chips)]


def one_by_one(analog: nn.Module, batches: list[Tensor], chips: int) -> list[Tensor]:
    """Answers to each batch, [chips, n, classes], of chips that are programmed one after the other."""
    answers = []
    for generator in generators(chips):
        reprogram(analog, generator)
        with torch.no_grad():
            answers.append([analog(batch) for batch in batches])
    return [torch.stack(of_batch) for of_batch in zip(*answers)]


@pytest.mark.parametrize("computes", ["C", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_chips_together_are_the_chips_alone(
    model: nn.Module,
    design_of: Designs,
    images: Tensor,
    kind: str,
    computes: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if computes == "torch":
        monkeypatch.setenv("XPERT_NATIVE", "0")
    elif native.CODE.library() is None:
        pytest.skip("no C compiler")
    encoding = "differential" if kind == "differential" else "offset"
    design = design_of(device=DEVICE, adc_bits=5, encoding=encoding)
    analog = to_analog(model, design, generator=None, settings=KINDS[kind], calibration=images)
    batches = [images[:3], images[3:5]]  # read noise goes on where the first batch ended
    expected = one_by_one(analog, batches, 3)
    reprogram(analog, generators(3))
    with torch.no_grad():
        found = [analog(batch.repeat(3, 1, 1, 1)).unflatten(0, (3, -1)) for batch in batches]
    assert all(map(torch.equal, found, expected))
    assert torch.equal(found[0][0], found[0][1]) == (kind == "nothing varies")


@pytest.mark.parametrize("held", [1, 20_000, 100_000])
def test_pieces_change_nothing(
    model: nn.Module, design_of: Designs, images: Tensor, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    analog = to_analog(model, design_of(device=DEVICE), generator=None, settings=NOISY, calibration=images)
    expected = one_by_one(analog, [images[:7]], 4)[0]
    monkeypatch.setattr(layer, "_HELD_BYTES", held)
    reprogram(analog, generators(4))
    with torch.no_grad():
        assert torch.equal(analog(images[:7].repeat(4, 1, 1, 1)), expected.flatten(0, 1))


def test_torch_reads_chips_on_grids_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (3, 2, 40, 30), generator=generator).to(torch.uint8)
    columns = []
    for scale, variance, floor in ((0.1, None, 0.0), (4.0, 0.2, 0.1), (40.0, None, 1.0)):
        spread = None if variance is None else torch.full((2, 30, 7), variance)
        conversion = Conversion(torch.full((7,), -16.0), 5, None, spread, floor)
        conductance = torch.randn((2, 30, 7), generator=generator) * scale
        columns.append(on_grid(conductance, conversion, ((0, 16), (16, 30))))
    assert len({one.fraction for one in columns}) == 3
    found = torch_readings(codes, columns, 8, [4, 5, 6], 9)
    for chip, (one, key) in enumerate(zip(columns, (4, 5, 6))):
        assert torch.equal(found[chip], torch_readings(codes[chip : chip + 1], [one], 8, [key], 9)[0])


def test_images_are_shared_out_evenly(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    analog = to_analog(model, design_of(), generator=None, calibration=images)
    reprogram(analog, generators(5))
    with pytest.raises(ConfigError, match="12 images cannot be shared out evenly to 5 chips"):
        analog(images)


def test_memory_limits_how_many_chips_compute_together(
    model: nn.Module, design_of: Designs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = torch.arange(12) % 10
    written, write = [], accuracy.reprogram
    monkeypatch.setattr(accuracy, "reprogram", lambda *given: written.append(len(given[1])) or write(*given))

    def measured() -> list[float]:
        design = design_of(device=DEVICE)
        return ni_accuracy(model, design, images, labels, images, seed=2, chips=5, batch_size=5).chips

    expected = measured()
    assert written == [5]
    cells = sum(one.weight.numel() for one in model.modules() if isinstance(one, nn.Conv2d | nn.Linear)) * 2
    values = 5 * max(3 * 100 + 8 * 100, 8 * 100 + 12 * 25)
    for limit, groups in ((2.9, [2, 2, 1]), (0.1, [1, 1, 1, 1, 1])):
        written.clear()
        monkeypatch.setattr(accuracy, "_CHIPS_BYTES", int(limit * (14 * cells + 16 * values)))
        assert measured() == expected
        assert written == groups


def test_a_bench_programs_its_chips_once(
    model: nn.Module, design_of: Designs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    written, write = [], accuracy.reprogram
    monkeypatch.setattr(accuracy, "reprogram", lambda *given: written.append(len(given[1])) or write(*given))
    bench = ChipBench(model, design_of(sigma=0.3), TestSet(images, labels, images), Sampling(2, 3, first_chip=1))
    coarse, fine = design_of(sigma=0.3, adc_bits=1), design_of(sigma=0.3, adc_bits=6)
    first = bench(coarse)
    assert (bench(fine) != first).any()
    assert (bench(coarse) == first).all()
    assert written == [3]
    expected = ni_accuracy(model, coarse, images, labels, images, seed=2, chips=4).chips[1:]
    assert first.mean(axis=1).tolist() == expected


def test_no_chip_is_written_that_nobody_asked_for(
    model: nn.Module, design_of: Designs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], programmed.program
    monkeypatch.setattr(programmed, "program", lambda *given: written.append(1) or write(*given))
    analog = to_analog(model, design_of(device=DEVICE), generator=chip_generator(0, 0), calibration=images)
    assert len(written) == 4
    perfect = to_analog(model, design_of(device=DEVICE), generator=None, calibration=images)
    assert len(written) == 4
    with torch.no_grad():
        assert not torch.equal(perfect(images), analog(images))
    assert len(written) == 8


def test_chips_on_disk(model: nn.Module, design_of: Designs, images: Tensor, tmp_path: Path) -> None:
    design = design_of(device=DEVICE)
    analog = to_analog(model, design, generator=None, calibration=images)
    reprogram(analog, generators(2))
    save_analog(analog, tmp_path / "chips.safetensors")
    read = load_analog(model, design, tmp_path / "chips.safetensors")
    assert {one.n_chips for one in analog_layers(read).values()} == {2}
    both = images.repeat(2, 1, 1, 1)
    with torch.no_grad():
        assert torch.equal(read(both), analog(both))


def test_a_learned_range_feels_every_chip(model: nn.Module, design_of: Designs, images: Tensor) -> None:
    learned = AnalogSettings(adc_range="learned", read_noise=False)
    analog = to_analog(model, design_of(device=DEVICE), generator=None, settings=learned, calibration=images)

    def gradients(batch: Tensor) -> list[Tensor]:
        scales = [one.adc_scale for one in analog_layers(analog).values()]
        return list(torch.autograd.grad(analog(batch).sum(), scales))

    alone = []
    for generator in generators(2):
        reprogram(analog, generator)
        alone.append(gradients(images))
    reprogram(analog, generators(2))
    together = gradients(images.repeat(2, 1, 1, 1))
    for of_layer, one, other in zip(together, *alone):
        torch.testing.assert_close(of_layer, one + other, rtol=1e-4, atol=1e-6)
