"""NI-accuracy: how often the network is right on sampled chips."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xpert.analog.batch_norm import measure_norms, with_chip_norms
from xpert.analog.convert import reprogram, rewind, to_analog
from xpert.analog.draws import chip_generator
from xpert.analog.layer import analog_layers
from xpert.analog.precision import at_precision
from xpert.analog.recall import Recall
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import AnalogSettings, Design, Layer, Periphery
from xpert.errors import ConfigError, DataError
from xpert.networks.images import Images
from xpert.progress import Progress, Report
from xpert.statistics import Bools, accuracy_interval


class NiAccuracy(NamedTuple):
    """Accuracy over chips, fractions 0 ... 1."""

    mean: float
    """Mean over chips."""

    std: float
    """Standard deviation over chips (n - 1 in the denominator); 0 for one chip."""

    chips: list[float]
    """Accuracy of each chip."""

    interval: tuple[float, float] | None
    """95 % confidence interval of the mean over all chips and all images, see `xpert.statistics`; None for one chip."""

    @classmethod
    def of(cls, correct: NDArray[np.bool_]) -> NiAccuracy:
        """From whether the network is right on each chip and image, [chips, images]."""
        chips = correct.mean(axis=1).tolist()
        if len(chips) < 2:
            return cls(float(np.mean(chips)), 0.0, chips, None)
        found = accuracy_interval(correct)
        return cls(float(np.mean(chips)), float(np.std(chips, ddof=1)), chips, (found.low, found.high))


class Margins(NamedTuple):
    """What chips make of images."""

    correct: Bools
    """Whether a chip is right, [chips, images]."""

    margin: NDArray[np.float32]
    """The output of the image's class less the largest other one, [chips, images]."""

    @classmethod
    def of(cls, outputs: Tensor, labels: Tensor) -> Margins:
        """From outputs [chips, images, classes] and the images' classes."""
        truth = labels.expand(outputs.shape[:2]).unsqueeze(2)  # [chips, images, 1]
        others = outputs.scatter(2, truth, -math.inf).amax(dim=2)
        margin = outputs.gather(2, truth).squeeze(2) - others
        return cls((outputs.argmax(dim=2) == labels).cpu().numpy(), margin.float().cpu().numpy())

    @classmethod
    def joined(cls, parts: Sequence[Margins], axis: int) -> Margins:
        """Of more images (axis 1), or of more chips (axis 0)."""
        return cls(*(np.concatenate(of_parts, axis=axis) for of_parts in zip(*parts, strict=True)))


_CHIPS_BYTES = 2 << 30
"""Most that the chips which compute together may take; one computes in any case."""

_CELL_BYTES = 14
"""Of a programmed cell, at most: conductance and variance of its reads in float32, and both on the grid."""

_VALUE_BYTES = 16
"""Of a number between layers: float32, with copies."""


class Chips(Protocol):
    """A network on sampled chips, here or elsewhere; see `SampledChips`."""

    @property
    def n_images(self) -> int:
        """How many images there are."""
        ...

    def at_once(self, design: Design) -> bool:
        """Whether each image runs on all chips of a design at a time."""
        ...

    def reorder(self, order: Tensor) -> None:
        """Read the images in another order from now on; `order` [images] has their present numbers."""
        ...

    def correct(self, design: Design, progress: Report | None = None, *, images: slice | None = None) -> Bools:
        """Whether the network is right on each image and chip, [chips, images]."""
        ...

    def margins(self, design: Design, progress: Report | None = None, *, images: slice | None = None) -> Margins:
        """Likewise, and by how much the class of an image leads, or is behind."""
        ...


Split = Callable[["SampledChips"], Chips]
"""Has the measurements of chips made elsewhere, to the bit as these would make them."""


class SampledChips:
    """A network on sampled chips that compute together, as many at a time as memory allows.

    What does not depend on the chip is done once for all that are programmed at a time; each computes to the bit what
    it would alone. Where all of them fit, they are programmed once, whatever precisions are measured on them.

    Args:
        model: From `to_analog`; changed in place. Its weights must not change any more.
        design: Its layers draw in their order.
        test: Images; on every chip the first that it reads. With `adaptive_batch_norm` it measures the statistics of
            its batch norms on the calibration images before that.
        sampling: Which chips.
        recall: Whether what layers gave is kept for the next design, see `Recall`: for designs that differ in few.

    Raises:
        ConfigError: If batch norms are to be measured, and there are none, or no images for it.
    """

    def __init__(
        self, model: nn.Module, design: Design, test: TestSet, sampling: Sampling, *, recall: bool = False
    ) -> None:
        self._images, self._labels = test.images, test.labels
        self.sampling = sampling
        """Which chips."""
        self._seed, self._batch_size = sampling.seed, sampling.batch_size
        self._order = [layer.name for layer in design.network.on_crossbars]
        layers = analog_layers(model)
        self._weights = {name: layer.weights.numel() for name, layer in layers.items()}
        self._ir_drop = any(layer.chip.analog.ir_drop for layer in layers.values())
        at_a_time = min(self._batch_size, len(self._images))
        self._calibration = None
        if any(layer.chip.analog.adaptive_batch_norm for layer in layers.values()):
            if test.calibration is None or len(test.calibration) == 0:
                raise ConfigError("adaptive_batch_norm needs at least one calibration image")
            self._calibration = test.calibration
            model = with_chip_norms(model)
            at_a_time = max(at_a_time, len(test.calibration))
        self._model, self._recall = model, Recall(model) if recall else None
        self._values = at_a_time * max(map(_values, design.network.layers))
        self._chips = sampling.numbers
        self._programmed: range | None = None
        self._measured: tuple[range, tuple[Periphery, ...], tuple[bool, ...]] | None = None

    @property
    def n_images(self) -> int:
        """How many images there are."""
        return len(self._images)

    def at_once(self, design: Design) -> bool:
        """Whether memory holds all chips of a design, so that each image runs on all of them at a time."""
        return len(self._groups(design)) == 1

    def _groups(self, design: Design) -> list[range]:
        """The chips in groups of about the same size that memory holds: by the cells that a design's weights take."""
        cells = sum(
            self._weights[layer.name] * design.chip.code_of(entry.weight_bits, entry.cell_bits).slices
            for layer, entry in zip(design.network.layers, design.periphery, strict=True)
            if not layer.digital
        )
        most = max(1, _CHIPS_BYTES // (_CELL_BYTES * cells + _VALUE_BYTES * self._values))
        chips = self._chips
        size = math.ceil(len(chips) / math.ceil(len(chips) / most))
        return [chips[first : first + size] for first in range(0, len(chips), size)]

    def reorder(self, order: Tensor) -> None:
        """Read the images in another order from now on; `order` [images] has their present numbers."""
        self._images, self._labels = self._images[order], self._labels[order]
        if self._recall is not None:
            self._recall = Recall(self._model)

    def correct(self, design: Design, progress: Report | None = None, *, images: slice | None = None) -> Bools:
        """Whether the network is right on each image and chip, [chips, images].

        Args:
            design: Its precisions are those that are measured.
            progress: Called after each batch with the images done over all chips, and with `chips` and `accuracy` so
                far; with IR drop also after each layer that is programmed, with `layer`.
            images: Only these, of consecutive numbers. Each answer is that which a measurement of all would give.
        """
        return self.margins(design, progress, images=images).correct

    def margins(self, design: Design, progress: Report | None = None, *, images: slice | None = None) -> Margins:
        """Likewise, and by how much the class of an image leads, or is behind."""
        found: list[Margins] = []
        start, stop, _ = (images or slice(None)).indices(len(self._images))
        chips = len(self._chips)

        def report(**figures: Any) -> None:
            if progress is not None:
                done, total = sum(part.correct.size for part in found), (stop - start) * chips
                progress(Progress(unit="images", done=done, total=total, figures={"chips": chips} | figures))

        with torch.no_grad(), at_precision(self._model, design):
            for group in self._groups(design):
                before = len(found)
                for outputs, truth in self._outputs(group, design, start, stop, report):
                    found.append(Margins.of(outputs, truth))
                    right = [part.correct for part in found]
                    report(accuracy=sum(map(np.sum, right)) / sum(part.size for part in right))
                found[before:] = [Margins.joined(found[before:], axis=1)]
        return Margins.joined(found, axis=0)

    def _outputs(
        self, group: range, design: Design, start: int, stop: int, report: Callable[..., None]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's outputs [chips, images, classes] for some images on the chips of a group, and their classes."""
        self._program(group, report)
        bypassed = tuple(layer.bypassed for layer in analog_layers(self._model).values())
        if self._calibration is not None and self._measured != (group, design.periphery, bypassed):
            run = functools.partial(self._run, batch=(group, "calibration"))
            measure_norms(self._model, self._calibration, len(group), run)
            self._measured = group, design.periphery, bypassed
        rewind(self._model, self._read_before + start)
        images, labels, first = self._images[start:stop], self._labels[start:stop], start
        for batch, truth in zip(images.split(self._batch_size), labels.split(self._batch_size)):
            inputs, numbers = batch.repeat(len(group), 1, 1, 1), (group, first, first + len(batch))
            outputs = self._run(inputs, numbers)
            first += len(batch)
            yield outputs.unflatten(0, (len(group), -1)), truth

    def _run(self, inputs: Tensor, batch: Hashable) -> Tensor:
        """The network's output for a batch that something stands for."""
        return self._model(inputs) if self._recall is None else self._recall(inputs, batch)

    @property
    def _read_before(self) -> int:
        """Images that a chip reads before those that it is measured on."""
        return 0 if self._calibration is None else len(self._calibration)

    def _program(self, group: range, report: Callable[..., None]) -> None:
        """Write to the chips of a group; if they are written already, take them as new."""
        if self._programmed == group:
            rewind(self._model)
            return
        # With IR drop, programming takes longer than many images.
        progress = (lambda layer: report(**layer.figures)) if self._ir_drop else None
        reprogram(self._model, [chip_generator(self._seed, chip) for chip in group], self._order, progress)
        self._programmed = group


def _values(layer: Layer) -> int:
    """Inputs and outputs of a layer for one image."""
    inputs = layer.in_channels * layer.in_height * layer.in_width
    return inputs + layer.out_channels * layer.out_height * layer.out_width


def correct_answers(
    model: nn.Module,
    design: Design,
    test: TestSet,
    sampling: Sampling,
    settings: AnalogSettings | None = None,
    progress: Report | None = None,
    split: Split | None = None,
) -> NDArray[np.bool_]:
    """Whether a design is right on each image and sampled chip, [chips, images].

    The same images and chips give the answers of two designs pair by pair.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        test: Images. ADC ranges are set on those for calibration, and batch norms measured.
        sampling: Chips.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        progress: As for `SampledChips.correct`.
        split: Where they are measured; None: here.

    Raises:
        ConfigError: If model and design do not match, a count is not positive, or batch norms are to be measured and
            there are none.
        DataError: If there are no images, or labels of another number.
    """
    for name, value in (("chips", sampling.n_chips), ("batch_size", sampling.batch_size)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    images, labels = test.images, test.labels
    if len(images) == 0 or len(images) != len(labels):
        raise DataError(f"NI-accuracy needs one label per image and at least one, got {len(images)} and {len(labels)}")
    analog = to_analog(model, design, generator=None, settings=settings, calibration=test.calibration)
    chips = SampledChips(analog, design, test, sampling)
    return (chips if split is None else split(chips)).correct(design, progress)


def ni_accuracy(
    model: nn.Module,
    design: Design,
    images: Images,
    labels: Tensor,
    calibration_images: Tensor | None,
    *,
    seed: int,
    chips: int = 1,
    batch_size: int = 64,
    settings: AnalogSettings | None = None,
    progress: Report | None = None,
) -> NiAccuracy:
    """Accuracy of a design on sampled chips.

    Args:
        model: Quantised model that matches the design; left as it is.
        design: Chip, layers and periphery.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        calibration_images: Normalised images on which ADC ranges are calibrated, and batch norms measured; not those
            that are evaluated.
        seed: Of the chips.
        chips: How many chips to sample.
        batch_size: Images at a time on each chip; results do not depend on it.
        settings: Conventions and effects in the place of the design's `chip.analog`.
        progress: As for `SampledChips.correct`.

    Raises:
        ConfigError: If model and design do not match, a count is not positive, or batch norms are to be measured and
            there are none.
        DataError: If there are no images, or labels of another number.
    """
    test, sampling = TestSet(images, labels, calibration_images), Sampling(seed, chips, batch_size)
    return NiAccuracy.of(correct_answers(model, design, test, sampling, settings, progress))


__all__ = ["Chips", "NiAccuracy", "SampledChips", "Split", "chip_generator", "correct_answers", "ni_accuracy"]
