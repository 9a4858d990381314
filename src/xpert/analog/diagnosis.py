"""Why a network's accuracy on a chip is what it is, and what to change first.

What is wrong before any hardware is looked for first: weights, the statistics of batch norms, the order of classes.
Then comes the way from floats to crossbars (`chain`), and then the layers. Which of them lose accuracy is measured:
each runs on the chips alone, the others in float. What would help follows from what was measured, and is measured in
turn on the same images and chips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xpert.analog.ablation import Ablation, ablation
from xpert.analog.accuracy import NiAccuracy, SampledChips, correct_answers
from xpert.analog.batch_norm import measure_norms, with_chip_norms
from xpert.analog.chain import Step, outputs_of, sanity_chain, share_right
from xpert.analog.conversions import layer_conversions
from xpert.analog.convert import to_analog
from xpert.analog.layer import analog_layers
from xpert.analog.remedies import LayerDiagnosis, changes, saturates, too_wide, weakest
from xpert.analog.sampling import Sampling, TestSet
from xpert.analog.snr import layer_snr, rounding_snr
from xpert.design import Design
from xpert.errors import ConfigError
from xpert.networks.quantised import copied, unquantised
from xpert.progress import Progress, Report
from xpert.statistics import Interval, difference_interval

Cause = Literal[
    "weights", "classes", "batch_norm", "chain", "rounding", "range", "saturation", "conversion", "cells", "none"
]

_LARGE = 0.25
"""Share of the whole loss from which a layer counts as bad, on its own."""

_SMALL = 0.01
"""Accuracy that is not worth a diagnosis."""

_SNR_IMAGES = 64
"""Images from which ratios of signal to error are estimated."""

_TRIED = 8
"""Changes that are tried, at most."""


class Suggestion(NamedTuple):
    """A change, and what it did."""

    change: str
    """What to change, in words."""
    because: str
    """What was measured that speaks for it."""
    setting: str | None
    """As `--set` of `xpert accuracy` takes it; None where one layer is changed."""
    accuracy: float
    """NI-accuracy with it."""
    gain: Interval
    """Of accuracy, on the same images and chips."""


class Verdict(NamedTuple):
    """What is wrong."""

    cause: Cause
    layer: str | None
    """The first bad layer; None where it is no layer's."""
    text: str
    """One sentence, with what was measured."""


class Diagnosis(NamedTuple):
    """Why the accuracy is what it is."""

    verdict: Verdict
    chain: list[Step]
    ni: NiAccuracy | None
    """On the chips; None where the network is wrong in float already, like all that follows."""
    layers: list[LayerDiagnosis]
    effects: list[Ablation]
    suggestions: list[Suggestion]


def diagnose(
    model: nn.Module,
    design: Design,
    test: TestSet,
    sampling: Sampling,
    *,
    original: nn.Module | None = None,
    progress: Report | None = None,
) -> Diagnosis:
    """Find out what costs a network its accuracy on a design.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        test: Images; those for calibration are needed.
        sampling: On which chips.
        original: The network before its layers became XPert's.
        progress: Called before each measurement with those done, and with what it is `of`.

    Raises:
        ConfigError: If model and design do not match, or there are no calibration images.
    """
    if test.calibration is None or len(test.calibration) == 0:
        raise ConfigError("a diagnosis needs at least one calibration image")
    done = 0

    def say(what: str) -> None:
        nonlocal done
        if progress is not None:
            progress(Progress(unit="measurement", done=done, figures={"of": what}))
        done += 1

    say("the chain from float to ideal crossbars")
    chain = sanity_chain(model, design, test, original=original, batch_size=sampling.batch_size)
    before = _before_hardware(model, chain, test, sampling.batch_size)
    if before is not None:
        return Diagnosis(before, chain, None, [], [], [])

    say("the chips")
    correct = correct_answers(model, design, test, sampling)
    ni = NiAccuracy.of(correct)
    say("the layers")
    layers = _layers(model, design, test, sampling, say)
    effects = ablation(
        model,
        design,
        test.images,
        test.labels,
        test.calibration,
        seed=sampling.seed,
        chips=sampling.n_chips,
        batch_size=sampling.batch_size,
        progress=lambda one: say(one.figures["of"]),
    )
    verdict = _verdict(design, chain, ni, layers, effects, len(test.images))
    suggestions = []
    if verdict.cause != "none":
        for change in changes(design, layers, effects, verdict.layer, has_norms=_has_norms(model))[:_TRIED]:
            say(change.words)
            answers = correct_answers(model, change.design, test, sampling)
            gain = difference_interval(answers, correct)
            suggestions.append(Suggestion(change.words, change.because, change.setting, float(answers.mean()), gain))
        suggestions.sort(key=lambda one: -one.gain.mean)
    return Diagnosis(verdict, chain, ni, layers, effects, suggestions)


def _before_hardware(model: nn.Module, chain: Sequence[Step], test: TestSet, batch_size: int) -> Verdict | None:
    """What is wrong with the network itself, if anything is."""
    found = chain[0]
    right, images = found.accuracy, len(test.images)
    broken = next((step for step in chain if not step.holds), None)
    if broken is not None:
        return Verdict(
            "chain",
            None,
            f"the outputs of step '{broken.name}' differ from those of '{broken.against}' by {broken.difference:.2g} "
            f"of the largest output, where rounding explains {broken.allowed:.0e}: the network computes something that "
            "the design's layers do not describe",
        )
    normed = _with_measured_norms(model, test, batch_size)
    doubt = 2 * math.sqrt(0.25 / images)
    if normed is not None and normed - right > max(0.05, doubt):
        return Verdict(
            "batch_norm",
            None,
            "the statistics in the batch norms are not those of these weights: measured on the calibration images they "
            f"take the float accuracy from {right:.1%} to {normed:.1%}",
        )
    classes = found.outputs.shape[1]
    chance = 1 / classes
    if right > chance + max(0.05, 3 * math.sqrt(chance * (1 - chance) / images)):
        return None
    renumbered = _renumbered(found.outputs, test.labels)
    if renumbered > max(0.5, right + 0.3):
        return Verdict(
            "classes",
            None,
            f"the network numbers the classes in another way than the data set: {right:.1%} are right, but "
            f"{renumbered:.1%} would be with its classes renumbered",
        )
    share = float(torch.bincount(found.outputs.argmax(dim=1), minlength=classes).max()) / images
    return Verdict(
        "weights",
        None,
        f"the float network itself is right on {right:.1%} of the images, where guessing gives {chance:.1%} (its "
        f"commonest answer is given to {share:.0%} of them): weights of another network, of other data or of none",
    )


def _with_measured_norms(model: nn.Module, test: TestSet, batch_size: int) -> float | None:
    """Float accuracy with batch norms' statistics measured on the calibration images; None without batch norms."""
    if not _has_norms(model):
        return None
    assert test.calibration is not None  # noqa: S101 (checked before)
    changed = with_chip_norms(copied(model).eval())
    with unquantised(changed):
        measure_norms(changed, test.calibration, 1)
        outputs = outputs_of(changed, test.images, batch_size)
    return share_right(outputs, test.labels)


def _has_norms(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def _renumbered(outputs: Tensor, labels: Tensor) -> float:
    """The accuracy if every answer stood for the class that suits best, each for another one."""
    classes = max(outputs.shape[1], int(labels.max()) + 1)
    pairs = outputs.argmax(dim=1).cpu() * classes + labels.cpu()
    table = torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).numpy()
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(labels))


def _layers(
    model: nn.Module, design: Design, test: TestSet, sampling: Sampling, say: Callable[[str], None]
) -> list[LayerDiagnosis]:
    """Every layer on crossbars, in the design's order."""
    some = test.images[:_SNR_IMAGES]
    rounding = rounding_snr(model, design, some)
    seed, chip = sampling.seed, sampling.first_chip
    snr = {one.layer: one for one in layer_snr(model, design, some, test.calibration, seed=seed, chip=chip)}
    batch = next(iter(some.split(_SNR_IMAGES)))
    converted = {
        one.layer: one for one in layer_conversions(model, design, batch, test.calibration, seed=seed, chip=chip)
    }
    analog = to_analog(model, design, generator=None, calibration=test.calibration)
    chips = SampledChips(analog, design, test, sampling)
    found = []
    for layer in design.network.on_crossbars:
        say(f"{layer.name} alone on the chips")
        with unquantised(analog), _only(analog, layer.name):
            alone = float(chips.correct(design).mean())
        name, one = layer.name, snr[layer.name]
        found.append(LayerDiagnosis(name, rounding[name], one.own, one.accumulated, converted.get(name), alone))
    return found


@contextmanager
def _only(analog: nn.Module, name: str) -> Iterator[None]:
    """Within this context one layer runs on crossbars."""
    layers = analog_layers(analog)
    for other, layer in layers.items():
        layer.bypassed = other != name
    try:
        yield
    finally:
        for layer in layers.values():
            layer.bypassed = False


def _verdict(
    design: Design,
    chain: Sequence[Step],
    ni: NiAccuracy,
    layers: Sequence[LayerDiagnosis],
    effects: Sequence[Ablation],
    images: int,
) -> Verdict:
    accuracy = {step.name: step.accuracy for step in chain}
    whole = accuracy["float"] - ni.mean
    if whole <= max(_SMALL, 2 / images):
        return Verdict(
            "none", None, f"the chips keep the float network's accuracy: {ni.mean:.1%} of {accuracy['float']:.1%}"
        )
    losses = {one.layer: accuracy["float"] - one.alone for one in layers}
    enough = max(_LARGE * whole, 2 / images, _SMALL)
    bad = next((one for one in layers if losses[one.layer] >= enough), None)
    rounded = accuracy["float"] - accuracy["quantised"]
    worst = bad or weakest(layers)
    where = (
        f"the first bad layer is {worst.layer}, which alone on the chips costs {_points(losses[worst.layer])}"
        if bad
        else f"no layer alone costs {_points(enough)}; the one of the least signal to error is {worst.layer}"
    )
    cause, why = _cause(design, worst, effects, rounded >= whole / 2)
    text = f"{_points(whole)} are lost between float ({accuracy['float']:.1%}) and the chips ({ni.mean:.1%}); {where}; "
    return Verdict(cause, worst.layer if bad else None, text + why)


def _cause(design: Design, layer: LayerDiagnosis, effects: Sequence[Ablation], rounded: bool) -> tuple[Cause, str]:
    """What is wrong with a layer, and how one sees it."""
    index = [one.name for one in design.network.layers].index(layer.layer)
    periphery, conversions = design.periphery[index], layer.conversions
    if layer.rounding_db < layer.own_db or (rounded and layer.rounding_db - layer.own_db < 3):
        return "rounding", (
            f"its error is that of rounding: {layer.rounding_db:.1f} dB with {periphery.input_bits}-bit inputs and "
            f"{design.chip.resolved(periphery).weight_bits}-bit weights"
        )
    if conversions is not None:
        if saturates(conversions):
            beyond = conversions.below + conversions.above
            return "saturation", f"{beyond:.1%} of its column sums are beyond the range of its ADCs"
        if too_wide(conversions):
            return "range", (
                f"its column sums use {conversions.used} of the {conversions.levels} levels of its ADCs, whose range "
                "is too wide for them"
            )
    ranked = sorted(effects, key=lambda one: one.alone.mean)
    if ranked and not ranked[0].effect.startswith("adc"):
        return "cells", (
            f"the effect that costs most on its own is {ranked[0].effect.replace('_', ' ')} "
            f"({ranked[0].alone.mean:.1%} with it alone); the layer's signal to error is {layer.own_db:.1f} dB"
        )
    return "conversion", (
        f"its signal to error is {layer.own_db:.1f} dB with a {periphery.adc_bits}-bit ADC"
        + ("" if conversions is None else f", whose step is {conversions.step:.2g} levels of conductance")
    )


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


__all__ = ["Cause", "Diagnosis", "Suggestion", "Verdict", "diagnose"]
