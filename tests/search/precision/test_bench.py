"""What phase 2 measures on: the same chips for all designs, and others only where ADCs have errors of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xpert.analog import accuracy
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import AnalogSettings, Chip, Design, Device, Network, Periphery
from xpert.errors import RunError
from xpert.networks.quantised import QuantLinear, calibrate_quantisers
from xpert.search.precision.bench import ChipBench
from xpert.search.precision.looks import Looks
from xpert.statistics import Bools
from xpert.workload.trace import trace


def problem(analog: AnalogSettings, *, norm: bool = False) -> tuple[nn.Module, Design, TestSet]:
    """A small network with as many answers right as its own float answers say."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(48, 1, 4, 4, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norms = [nn.BatchNorm1d(24)] if norm else []
        model = nn.Sequential(nn.Flatten(), QuantLinear(16, 24), *norms, nn.ReLU(), QuantLinear(24, 10)).eval()
    calibrate_quantisers(model, images)
    network = Network(backbone="custom", input_shape=(1, 4, 4), layers=trace(model, (1, 4, 4)))
    chip = Chip(rows=16, columns=16, device=Device(programming_sigma=0.02), analog=analog)
    design = Design.homogeneous(network, chip, Periphery(columns_per_adc=8, adc_bits=4, input_bits=6))
    with torch.no_grad():
        labels = model(images).argmax(1)
    return model.eval(), design, TestSet(images, labels, images)


def with_columns(design: Design, columns: int) -> Design:
    return design.with_values(["columns_per_adc"], [[columns]] * len(design.periphery))


def test_kinds_that_change_no_sum_share_a_measurement(tmp_path: Path) -> None:
    model, design, test = problem(AnalogSettings(adc_offset_sigma=0))
    file = tmp_path / "measured.json"
    bench = ChipBench(model, design, test, Sampling(0, 2), file)
    assert np.array_equal(bench(design), bench(with_columns(design, 2)))
    assert list(json.loads(file.read_text())["measured"]) == ["4/6 4/6"]


def test_where_adcs_have_offsets_every_sharing_has_chips_of_its_own(tmp_path: Path) -> None:
    model, design, test = problem(AnalogSettings(adc_offset_sigma=1.0))
    file, other = tmp_path / "measured.json", with_columns(design, 2)
    bench = ChipBench(model, design, test, Sampling(0, 2), file)
    first, second = bench(design), bench(other)
    assert np.array_equal(second, ChipBench(model, other, test, Sampling(0, 2))(other))
    assert np.array_equal(first, ChipBench(model, design, test, Sampling(0, 2))(design))
    assert not np.array_equal(first, second)
    assert list(json.loads(file.read_text())["measured"]) == ["sar/8/4/6 sar/8/4/6", "sar/2/4/6 sar/2/4/6"]


@pytest.mark.parametrize("offset", [0.0, 1.0], ids=["no offsets", "offsets"])
def test_other_precisions_of_weights_and_cells_are_written_to_the_same_chips(tmp_path: Path, offset: float) -> None:
    """In any order, and again, a design has the answers of a bench that was made for it."""
    model, design, test = problem(AnalogSettings(adc_offset_sigma=offset))
    noisy = design.replace(chip=design.chip.replace(device=Device(programming_sigma=0.3)))
    bits = [[(4, None), (None, None)], [(3, 1), (5, 2)], [(None, None)] * 2]
    designs = [noisy.with_values(("weight_bits", "cell_bits"), rows) for rows in bits]
    file = tmp_path / "measured.json"
    bench = ChipBench(model, noisy, test, Sampling(0, 3), file)
    for one in (*designs, *designs):
        assert np.array_equal(bench(one), ChipBench(model, one, test, Sampling(0, 3))(one))
    assert len({bench(one).tobytes() for one in designs}) == 3
    keys = list(json.loads(file.read_text())["measured"])
    assert keys[0].endswith("4/6/4-bit weights sar/8/4/6" if offset else "4/6/4-bit weights 4/6")


def test_a_measurement_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """With noisy reads too, whose noise is that of an image's place; a bench of the same file repeats the decisions."""
    noisy = AnalogSettings(adc_offset_sigma=0, adc_noise=0.5)
    model, design, test = problem(noisy)
    file, coarse = tmp_path / "measured.json", design.with_values(["adc_bits"], [[2]] * 2)
    bench = ChipBench(model, design, test, Sampling(0, 2, batch_size=5), file)
    reference = bench.nominal(design)
    assert bench.looks is not None
    first, hard, *_ = bench.looks.ends
    looked: list[int] = []

    def stop_at(end: int, bench: ChipBench) -> Bools:
        return bench.until(coarse, lambda seen: looked.append(seen.shape[1]) or seen.shape[1] >= end)

    some = stop_at(hard, bench)
    assert looked == [first, hard]
    whole = bench(coarse)
    assert np.array_equal(whole[:, :hard], some)
    assert np.array_equal(stop_at(first, bench), some[:, :first])
    alone = ChipBench(model, design, test, Sampling(0, 2), looks=bench.looks)
    assert np.array_equal(alone(coarse), whole)
    again = ChipBench(model, design, test, Sampling(0, 2), file)
    assert np.array_equal(again.nominal(design), reference)
    assert np.array_equal(stop_at(hard, again), some)
    # The nominal design is nearly wrong first where it is wrong.
    assert reference[:, :first].mean() < reference.mean()


def test_a_broken_file_of_measurements_is_said_to_be_one(tmp_path: Path) -> None:
    model, design, test = problem(AnalogSettings())
    (tmp_path / "measured.json").write_text('{"6/8": {}}')
    with pytest.raises(RunError, match="not a file of measurements"):
        ChipBench(model, design, test, Sampling(0, 2), tmp_path / "measured.json")


def test_batch_norms_are_measured_once_for_a_design(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks, and designs in turn, give what a measurement in one go gives."""
    settings = AnalogSettings(adc_offset_sigma=0, adc_noise=0.5, adaptive_batch_norm=True)
    model, design, test = problem(settings, norm=True)
    coarse = design.with_values(["adc_bits"], [[4], [2]])
    measured: list[int] = []
    measure = accuracy.measure_norms
    monkeypatch.setattr(accuracy, "measure_norms", lambda *given: measured.append(1) or measure(*given))
    bench = ChipBench(model, design, test, Sampling(0, 2), looks=Looks.hardest_first(np.arange(48.0), 0))
    assert bench.looks is not None
    bench(design)
    measured.clear()
    found = bench(coarse)
    assert len(bench.looks.ends) > 2
    assert len(measured) == 1
    bench(design.with_values(["adc_bits"], [[2], [2]]))
    again = ChipBench(model, coarse, test, Sampling(0, 2), looks=bench.looks)
    assert np.array_equal(found, again(coarse))
