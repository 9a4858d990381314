"""Measurements as tasks, which any worker can do: names and numbers go there, bits come back.

A worker builds the chips that a task names, and keeps them for the next one. One measurement is many tasks: chips are
drawn by their numbers and noise by those of the images, so that the parts are to the bit those of the whole.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xpert import __version__
from xpert.analog import to_analog
from xpert.analog.accuracy import Margins, SampledChips, Split
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import Design
from xpert.errors import ConfigError, RunError
from xpert.experiment.cluster import Engine
from xpert.experiment.config import SearchConfig
from xpert.experiment.models import model_of_design
from xpert.experiment.trainings import new_model, recipe_of
from xpert.machine import usual_threads
from xpert.progress import Progress, Report
from xpert.statistics import Bools
from xpert.training import Dataset, computing_on, device_of, load_dataset, load_weights, save_weights
from xpert.training.source import DataRequest

_KEPT = 3
"""Sets of chips that a worker keeps, of those that it was asked for last."""

_KEPT_DATA = 2
"""The same of data sets."""

_LEAST_IMAGES = 32
"""Images in a part of a measurement, where there are so many: fewer cost more to hand out than to measure."""


class Images(NamedTuple):
    """Some images of a data set."""

    part: str
    """`validation` or `test`."""

    start: int | None
    """The first, as in a slice."""

    stop: int | None
    """Behind the last."""

    calibration: int
    """Training images on which chips are set up."""

    def of(self, dataset: Dataset) -> TestSet:
        """The images themselves."""
        images, labels = getattr(dataset, f"{self.part}_images"), getattr(dataset, f"{self.part}_labels")
        chosen = slice(self.start, self.stop)
        calibration = dataset.normalised(dataset.train_images[: self.calibration])
        return TestSet(dataset.in_batches(images[chosen]), labels[chosen], calibration)


class Found(TypedDict):
    """What a task found."""

    shape: list[int]
    """Chips and images."""

    correct: bytes
    """Whether each image is right on each chip, eight to a byte."""

    margin: bytes
    """By how much its class leads, float32."""


class Place(TypedDict):
    """Names everything that a worker needs to make chips. It goes as JSON, so all is plain."""

    version: str
    """Of XPert."""

    threads: int | None
    """On how many the worker computes."""

    device: str
    """Where each worker simulates."""

    data: dict[str, Any]
    """Options of the data set, see `DataRequest`."""

    split: tuple[float, int] | None
    """Share of the training images that is held back, and the seed of that choice."""

    config: dict[str, Any] | None
    """Of the run in which the network was trained; None: it is made from the design."""

    weights: str
    """File of its weights."""

    digest: str
    """What they hold, see `digest_of`."""

    design: dict[str, Any]
    """The design that the chips are made for; those that are measured may have other peripheries."""

    images: Images
    """On which."""


@dataclass(frozen=True)
class RunTasks:
    """Makes tasks of a run's measurements.

    Args:
        engine: Where they run.
        config: Of the run, with its threads.
        folder: For weights, which tasks name by what they hold. Workers read it.
        device: Where each worker simulates.
    """

    engine: Engine
    config: SearchConfig
    folder: Path
    device: str

    def split(self, model: nn.Module, design: Design, images: Images) -> Split | None:
        """Has a measurement made as tasks; None where those would run here.

        Args:
            model: The trained network that is on the chips.
            design: The one that they are made for.
            images: Those that are measured, of the run's data set.
        """
        if not self.engine.apart:
            return None
        digest = digest_of(model)
        file = self.folder / f"{digest}.safetensors"
        if not file.exists():
            self.folder.mkdir(exist_ok=True)
            save_weights(model, file)
        options = self.config.dataset
        place = _place(design, file, digest, options.request, images, self.device, self.config.threads)
        place["split"] = options.validation, self.config.seed
        place["config"] = self.config.model_dump(mode="json")
        return lambda chips: SplitChips(self.engine, chips, place)

    def forget(self) -> None:
        """Remove the weights."""
        shutil.rmtree(self.folder, ignore_errors=True)


def split_files(
    engine: Engine,
    design: Design,
    weights: Path | str | None,
    request: DataRequest,
    model: nn.Module,
    images: Images,
    device: str,
) -> Split | None:
    """Has the measurement of a design file and its weight file made as tasks; None where those would run here.

    Args:
        engine: Where they run.
        design: The design.
        weights: The file, which workers read.
        request: The data set.
        model: The network that they give.
        images: Test images.
        device: Where each worker simulates, on as many threads as this process would.

    Raises:
        ConfigError: If the network has no weight file.
    """
    if not engine.apart:
        return None
    if weights is None:
        raise ConfigError("--weights: needed with --workers or --cluster, where others read them")
    place = _place(design, Path(weights), digest_of(model), request, images, device, usual_threads())
    return lambda chips: SplitChips(engine, chips, place)


def _place(
    design: Design, weights: Path, digest: str, request: DataRequest, images: Images, device: str, threads: int | None
) -> Place:
    """Where the network is made from the design, and no images are held back. Folders are the same for all workers."""
    return {
        "version": __version__,
        "threads": threads,
        "device": device,
        "data": asdict(request) | {"data_dir": str(request.data_dir.resolve())},
        "split": None,
        "config": None,
        "weights": str(weights.resolve()),
        "digest": digest,
        "design": design.model_dump(mode="json"),
        "images": images,
    }


def digest_of(model: nn.Module) -> str:
    """A hash of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:20]


class SplitChips:
    """Sampled chips whose measurements are split by images, and by chips, over an engine's workers.

    Args:
        engine: Where they run.
        chips: The same chips in this process, which measure nothing.
        place: Where workers find what is on them.
    """

    def __init__(self, engine: Engine, chips: SampledChips, place: Place) -> None:
        self._engine, self._chips, self._place = engine, chips, place
        self._order = np.arange(chips.n_images)

    @property
    def n_images(self) -> int:
        """How many images there are."""
        return self._chips.n_images

    def at_once(self, design: Design) -> bool:
        """Whether one worker's memory would hold all chips; decides where a search looks at what was found."""
        return self._chips.at_once(design)

    def reorder(self, order: Tensor) -> None:
        """Read the images in another order from now on; `order` [images] has their present numbers."""
        self._order = self._order[order.cpu().numpy()]

    def correct(self, design: Design, progress: Report | None = None, *, images: slice | None = None) -> Bools:
        """As for `SampledChips`."""
        return self.margins(design, progress, images=images).correct

    def margins(self, design: Design, progress: Report | None = None, *, images: slice | None = None) -> Margins:
        """As for `SampledChips`."""
        start, stop, _ = (images or slice(None)).indices(self.n_images)
        numbers = self._chips.sampling.numbers
        parts = list(_parts(len(numbers), stop - start, self._engine.size()))
        place, asked = json.dumps(self._place), json.dumps(design.model_dump(mode="json"))
        sampling, order = self._chips.sampling, self._order.astype("<u4").tobytes()
        arguments = []
        for chips, some in parts:
            drawn = replace(sampling, n_chips=len(chips), first_chip=numbers.start + chips.start)
            arguments.append((place, asked, asdict(drawn), order, [start + some.start, start + some.stop]))
        correct = np.zeros((len(numbers), stop - start), bool)
        margin = np.zeros(correct.shape, np.float32)
        seen = right = 0
        for number, found in self._engine.results(measure, arguments):
            chips, some = parts[number]
            rows, columns = slice(chips.start, chips.stop), slice(some.start, some.stop)
            part = _unpacked(found)
            correct[rows, columns], margin[rows, columns] = part
            seen, right = seen + part.correct.size, right + int(part.correct.sum())
            if progress is not None:
                figures = {"chips": len(numbers), "accuracy": right / seen}
                progress(Progress(unit="images", done=seen, total=correct.size, figures=figures))
        return Margins(correct, margin)


def _parts(chips: int, images: int, workers: int) -> Iterator[tuple[range, range]]:
    """Parts of a measurement, one a worker where that goes: by images, and by chips where those are too few.

    Parts by images are measured on the same chips, so that any worker that has measured one is ready for any other.
    """
    by_images = max(1, min(images // _LEAST_IMAGES, workers))
    by_chips = max(1, min(chips, workers // by_images))
    for one, other in itertools.product(range(by_chips), range(by_images)):
        yield (
            range(one * chips // by_chips, (one + 1) * chips // by_chips),
            range(other * images // by_images, (other + 1) * images // by_images),
        )


def measure(where: str, design: str, chips: dict[str, int], order: bytes, images: list[int]) -> Found:
    """Measure a design on some chips and images.

    Args:
        where: A `Place`, as JSON.
        design: The design, as JSON.
        chips: Which ones, see `Sampling`.
        order: Number of the image in each place, uint32.
        images: The first place in the order, and the one behind the last.

    Raises:
        RunError: If this is another version of XPert, or the weights are not those that were named.
        DataError: If data set or weights are missing or broken.
    """
    place: Place = json.loads(where)
    if place["version"] != __version__:
        raise RunError(f"a worker has xpert {__version__}, the command {place['version']}; use one version everywhere")
    # How a sum is cut into parts decides its last bits.
    with computing_on(place["threads"]):
        made = _sampled(where, Sampling(**chips))
        made.put_in(np.frombuffer(order, "<u4").astype(np.int64))
        found = made.chips.margins(Design.parse(json.loads(design)), images=slice(*images))
    return _packed(found)


def _packed(found: Margins) -> Found:
    return {
        "shape": list(found.correct.shape),
        "correct": np.packbits(found.correct).tobytes(),
        "margin": found.margin.astype("<f4").tobytes(),
    }


def _unpacked(found: Found) -> Margins:
    chips, images = found["shape"]
    bits = np.unpackbits(np.frombuffer(found["correct"], np.uint8), count=chips * images)
    margin = np.frombuffer(found["margin"], "<f4").reshape(chips, images)
    return Margins(bits.astype(bool).reshape(chips, images), margin)


class _Made:
    """Chips that a worker keeps, and the order in which they read their images.

    Args:
        chips: In the order of their data set.
    """

    def __init__(self, chips: SampledChips) -> None:
        self.chips = chips
        self._order = np.arange(chips.n_images)

    def put_in(self, order: NDArray[np.int64]) -> None:
        """Have them read their images in an order."""
        if not np.array_equal(order, self._order):
            self.chips.reorder(torch.from_numpy(np.argsort(self._order)[order]))
            self._order = order


@functools.lru_cache(_KEPT)
def _sampled(where: str, sampling: Sampling) -> _Made:
    """The chips that a task names."""
    place: Place = json.loads(where)
    dataset = _dataset(json.dumps([place["data"], place["split"], place["device"]]))
    design, images = Design.parse(place["design"]), Images(*place["images"])
    model, test = _trained(place, design, dataset).eval(), images.of(dataset)
    analog = to_analog(model, design, generator=None, calibration=test.calibration)
    return _Made(SampledChips(analog, design, test, sampling, recall=True))


def _trained(place: Place, design: Design, dataset: Dataset) -> nn.Module:
    """The network of a place with its weights."""
    weights = Path(place["weights"])
    if place["config"] is None:
        images = dataset.normalised(dataset.train_images[: Images(*place["images"]).calibration])
        model = model_of_design(design, weights, None, images).to(device_of(place["device"]))
    else:
        config = SearchConfig.parse(place["config"])
        model = new_model(design.network, recipe_of(config, config.training), dataset)
        load_weights(model, weights)
    if digest_of(model) != place["digest"]:
        raise RunError(f"{weights}: a worker finds other weights there than the command wrote")
    return model


@functools.lru_cache(_KEPT_DATA)
def _dataset(what: str) -> Dataset:
    data, split, device = json.loads(what)
    request = DataRequest(**data | {"data_dir": Path(data["data_dir"]), "size": data["size"] and tuple(data["size"])})
    whole = load_dataset(request)
    return (whole if split is None else whole.split(*split)).to(device_of(device))


__all__ = [
    "Images",
    "Place",
    "RunTasks",
    "SplitChips",
    "digest_of",
    "measure",
    "split_files",
]
