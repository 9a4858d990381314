"""What one trained network does on one design: its accuracies, and the activity of its layers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xpert.analog import NiAccuracy, ablation, at_precision, layer_snr, measure_activity, native
from xpert.analog.ablation import Ablation
from xpert.analog.accuracy import Split, correct_answers
from xpert.analog.diagnosis import diagnose
from xpert.analog.remedies import LayerDiagnosis
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Design, Device
from xpert.errors import ConfigError, DataError
from xpert.experiment.cluster import HERE, Engine
from xpert.experiment.models import model_of_design
from xpert.experiment.tasks import Images, split_files
from xpert.hardware.programming import programming_cost
from xpert.networks.quantised import unquantised
from xpert.networks.sources import LoadedNetwork
from xpert.progress import Report, of_stage
from xpert.results import Accuracy, AccuracyFile, Effect, LayerError, Measured, NiRecord
from xpert.results.accuracy import AtTime, Percentile, Yield
from xpert.results.diagnosis import ChainStep, DiagnosisFile, Suggestion
from xpert.results.diagnosis import LayerDiagnosis as LayerRecord
from xpert.statistics import Bools, percentile, share_interval
from xpert.text import time_in_words
from xpert.training import Dataset, accuracy, device_of, load_dataset
from xpert.training.source import DataRequest, request_for


@dataclass(frozen=True)
class Answers:
    """What a trained network makes of test images."""

    accuracy: Accuracy

    correct: Bools
    """Whether each image is right on each chip, [chips, images]; two designs on the same ones are compared by it."""


def measure_accuracy(
    model: nn.Module,
    design: Design,
    test: TestSet,
    sampling: Sampling,
    progress: Report | None = None,
    split: Split | None = None,
) -> Answers:
    """Accuracies of a trained network at the precisions of a design, and its answers on the chips.

    Args:
        model: The design's network with trained weights; left as it is.
        design: Chip and peripheries.
        test: Where it is measured.
        sampling: On which chips.
        progress: Called as work goes on.
        split: Where the chips are measured; None: here.
    """
    with unquantised(model):
        ideal = accuracy(model, test.images, test.labels, sampling.batch_size)
    with at_precision(model, design):
        quantised = accuracy(model, test.images, test.labels, sampling.batch_size)
    correct = correct_answers(model, design, test, sampling, progress=progress, split=split)
    found = NiAccuracy.of(correct)
    accuracies = Accuracy(ideal=ideal, quantised=quantised, chips=tuple(found.chips), **_record(found).to_dict())
    return Answers(accuracies, correct)


def _record(found: NiAccuracy) -> NiRecord:
    """Mean, spread and confidence interval; the last null for one chip."""
    low, high = found.interval or (None, None)
    return NiRecord(ni_mean=found.mean, ni_std=found.std, ni_low=low, ni_high=high)


def accuracy_of_design(
    design: Design,
    weights: Path | str | None,
    dataset: str,
    data_dir: Path | str | None = None,
    *,
    network: LoadedNetwork | None = None,
    seed: int = 0,
    chips: int = 5,
    calibration_images: int = 128,
    batch_size: int = 128,
    images: int | None = None,
    each_effect: bool = False,
    each_layer: bool = False,
    yield_at: float | None = None,
    times: Sequence[float] = (),
    device: str = "cpu",
    progress: Report | None = None,
    engine: Engine = HERE,
) -> AccuracyFile:
    """Accuracies of a design file and its weight file on a data set's test images; see `measure_accuracy`.

    Args:
        design: The design.
        weights: Its network's weights; unused where `network` is given.
        dataset: Name of the data set, or the code that makes it; pictures come in the shape that the network takes.
        data_dir: Folder of data sets.
        network: Its network where that is the user's own, with its weights.
        seed: Of the sampled chips.
        chips: How many chips are sampled.
        calibration_images: Training images on which ADC ranges are set, and batch norms measured.
        batch_size: Images at a time.
        images: The first so many test images; all by default.
        each_effect: Whether to add `ablation`.
        each_layer: Whether to add `layers`.
        yield_at: Accuracy of which the share of chips is wanted that reach it.
        times: Times after programming at which accuracy is wanted, too. [s]
        device: Where it is simulated: `cpu`, `cuda` or `cuda:N`.
        progress: Called as work goes on.
        engine: Where the chips are measured.

    Raises:
        ConfigError: If the network cannot be rebuilt from the design, the device is unknown, or times are asked for
            and the cells do not change with time.
        DataError: If the weights or the data set are missing, broken, or do not fit the design.
    """
    if times and not changes_with_time(design.chip.device):
        raise ConfigError(
            "chip.device: its cells do not change with time: drift_nu, drift_nu_sigma, relaxation_per_decade, "
            "relaxation_sigma_per_decade and read_noise_1f are all 0"
        )
    place = device_of(device)
    request = request_for(dataset, data_dir, design.network.input_shape)
    model, data = _load(design, weights, request, network, calibration_images, progress)
    model, data = model.to(place), data.to(place)
    measured = Images("test", None, images, calibration_images)
    test = measured.of(data)
    sampling = Sampling(seed, chips, batch_size)
    split = split_files(engine, design, weights, request, model, measured, device)

    found = measure_accuracy(model, design, test, sampling, of_stage("accuracy", progress), split).accuracy
    more: dict[str, Any] = {"images": len(test.images), "implementation": native.CODE.implementation()}
    more |= _population(found.chips, yield_at)
    if times:
        more["over_time"] = _over_time(model, design, test, sampling, times, yield_at, progress)
    with contextlib.suppress(ConfigError):  # a device without write figures
        more["programming"] = programming_cost(design).to_dict()
    if each_layer:
        layers = layer_snr(
            model, design, test.images, test.calibration, seed=seed, progress=of_stage("layers", progress)
        )
        more["layers"] = [
            LayerError(layer=one.layer, snr_db=one.own, accumulated_snr_db=one.accumulated) for one in layers
        ]
    if each_effect:
        effects = ablation(
            model,
            design,
            test.images,
            test.labels,
            test.calibration,
            seed=seed,
            chips=chips,
            batch_size=batch_size,
            progress=of_stage("ablation", progress),
        )
        more["ablation"] = _effects(effects)
    return AccuracyFile.parse(found.to_dict() | more)


def changes_with_time(cell: Device) -> bool:
    """Whether a programmed cell is another one later."""
    return any((
        cell.drift_nu, cell.drift_nu_sigma, cell.relaxation_per_decade, cell.relaxation_sigma_per_decade,
        cell.read_noise_1f,
    ))  # fmt: skip


PERCENTS = (1, 5, 25, 50, 75, 95, 99)
"""Percentiles over chips, where there are enough chips for them."""

_POPULATION = 20
"""Chips from which there are percentiles: the lowest is then that of 5 %."""


def _population(chips: int | tuple[float, ...] | None, yield_at: float | None) -> dict[str, Any]:
    """Percentiles of the chips' accuracies, and their yield."""
    assert isinstance(chips, tuple)  # noqa: S101 (they were measured one by one)
    values, found = np.array(chips), {}
    if len(values) >= _POPULATION:
        reached = [one for one in PERCENTS if min(one, 100 - one) * len(values) >= 100]
        found["percentiles"] = [Percentile(percent=one, ni=percentile(values, one / 100)) for one in reached]
    if yield_at is not None:
        found["chip_yield"] = _yield(values, yield_at)
    return found


def _yield(chips: NDArray[np.float64], least: float) -> Yield:
    share = share_interval(int((chips >= least).sum()), len(chips))
    return Yield(accuracy=least, share=share.mean, low=share.low, high=share.high)


def _over_time(
    model: nn.Module,
    design: Design,
    test: TestSet,
    sampling: Sampling,
    times: Sequence[float],
    yield_at: float | None,
    progress: Report | None,
) -> list[AtTime]:
    """NI-accuracy of the same chips at several times."""
    rows = []
    for seconds in times:
        settings = design.chip.analog.replace(seconds_since_programming=seconds)
        told = of_stage(f"after {time_in_words(seconds)}", progress)
        ni = NiAccuracy.of(correct_answers(model, design, test, sampling, settings, told))
        row = AtTime(seconds=seconds, **_record(ni).to_dict())
        if yield_at is not None:
            row = row.replace(chip_yield=_yield(np.array(ni.chips), yield_at))
        rows.append(row)
    return rows


def diagnosis_of_design(
    design: Design,
    weights: Path | str | None,
    dataset: str,
    data_dir: Path | str | None = None,
    *,
    network: LoadedNetwork | None = None,
    seed: int = 0,
    chips: int = 2,
    calibration_images: int = 128,
    batch_size: int = 128,
    images: int | None = 256,
    device: str = "cpu",
    progress: Report | None = None,
) -> DiagnosisFile:
    """Why a design's accuracy is what it is; arguments and errors are those of `accuracy_of_design`."""
    place = device_of(device)
    request = request_for(dataset, data_dir, design.network.input_shape)
    model, data = _load(design, weights, request, network, calibration_images, progress)
    model, data = model.to(place), data.to(place)
    test = Images("test", None, images, calibration_images).of(data)
    # Weights of a searched network are not the source's.
    own = network.module.to(place) if network is not None and design.network.source is None else None
    found = diagnose(
        model,
        design,
        test,
        Sampling(seed, chips, batch_size),
        original=own,
        progress=of_stage("diagnosis", progress),
    )
    by_name = {step.name: step for step in found.chain}
    return DiagnosisFile(
        cause=found.verdict.cause,
        layer=found.verdict.layer,
        text=found.verdict.text,
        images=len(test.images),
        chips=chips,
        ideal=by_name["float"].accuracy,
        quantised=by_name["quantised"].accuracy,
        ni_mean=found.ni.mean if found.ni else None,
        chain=tuple(
            ChainStep(
                name=step.name,
                accuracy=step.accuracy,
                against=step.against,
                difference=step.difference,
                allowed=step.allowed,
                holds=step.holds,
            )
            for step in found.chain
        ),
        layers=tuple(_layer_record(one) for one in found.layers),
        ablation=_effects(found.effects),
        suggestions=tuple(
            Suggestion(
                change=one.change,
                because=one.because,
                setting=one.setting,
                ni_mean=one.accuracy,
                gain=Measured(mean=one.gain.mean, low=one.gain.low, high=one.gain.high),
            )
            for one in found.suggestions
        ),
    )


def _layer_record(one: LayerDiagnosis) -> LayerRecord:
    adc = one.conversions
    converted = {}
    if adc is not None:
        converted = {
            "below": adc.below, "above": adc.above, "levels_used": adc.used, "levels": adc.levels, "step": adc.step,
        }  # fmt: skip
    return LayerRecord(
        layer=one.layer,
        rounding_db=one.rounding_db,
        snr_db=one.own_db,
        accumulated_snr_db=one.accumulated_db,
        alone=one.alone,
        **converted,
    )


def _effects(found: Sequence[Ablation]) -> tuple[Effect, ...]:
    return tuple(Effect(effect=one.effect, alone=_record(one.alone), without=_record(one.without)) for one in found)


def activity_of_design(
    design: Design,
    weights: Path | None,
    dataset: str,
    data_dir: Path | None,
    *,
    network: LoadedNetwork | None = None,
    images: int = 128,
) -> Design:
    """A design with the activity of its layers, measured on a data set's training images; see `accuracy_of_design`.

    Raises:
        ConfigError: If the network cannot be rebuilt from the design.
        DataError: If the weights or the data set are missing, broken, or do not fit the design.
    """
    request = request_for(dataset, data_dir, design.network.input_shape)
    model, data = _load(design, weights, request, network, images)
    return measure_activity(model, design, data.normalised(data.train_images[:images]))


def _load(
    design: Design,
    weights: Path | str | None,
    request: DataRequest,
    network: LoadedNetwork | None,
    calibration_images: int,
    progress: Report | None = None,
) -> tuple[nn.Module, Dataset]:
    """The trained network of a design, quantised, and the data set for it; see `model_of_design`."""
    data = load_dataset(request, progress=progress)
    shape, classes = data.input_shape, data.num_classes
    if shape != design.network.input_shape or classes != design.network.num_classes:
        raise DataError(
            f"data set {request.name!r} has images of {shape} and {classes} classes; the design's network takes "
            f"{design.network.input_shape} and {design.network.num_classes}"
        )
    images = data.normalised(data.train_images[:calibration_images])
    if network is not None and design.network.source is None:
        with torch.no_grad():
            answer = network.module(images[:1])
        if not isinstance(answer, torch.Tensor) or answer.shape != (1, classes):
            form = list(answer.shape) if isinstance(answer, torch.Tensor) else f"a {type(answer).__name__}"
            raise ConfigError(f"{network.name}: answers an image with {form}, not with [1, {classes}]: no classifier")
    return model_of_design(design, None if weights is None else Path(weights), network, images), data


__all__ = [
    "Answers",
    "accuracy_of_design",
    "activity_of_design",
    "diagnosis_of_design",
    "measure_accuracy",
]
