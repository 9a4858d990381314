"""Which images a network gets right on sampled chips, design by design: what phase 2 measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import nn

from xpert.analog import to_analog
from xpert.analog.accuracy import Chips, SampledChips, Split
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import SUMS_FIELDS, Design, Periphery
from xpert.errors import DataError, RunError
from xpert.files import write_atomically
from xpert.search.precision.looks import Enough, Looks
from xpert.statistics import Bools


class ChipBench:
    """A trained network on the same chips and images for every design that is asked for.

    Chips are those of `ni_accuracy` with the same seed: designs that differ in precisions of ADCs and inputs alone are
    measured on identical cells, and with other weights or cells on those that the same chips then have.

    Args:
        model: Trained; its present weights are written to every chip.
        design: Network and chip; the designs to measure may differ in precisions. Where ADCs have errors of their own
            they may also differ in kind and sharing: each of these has its own converters on the same chips.
        test: Where it is measured.
        sampling: On which chips.
        file: Keeps the measurements, so that a killed search does not repeat them; None keeps none.
        looks: The order of the images, and where `until` looks at what was found; None until `nominal` has found it.
        split: Where the chips are measured; None: here.

    Raises:
        ConfigError: If model and design do not match.
        DataError: If there are no images.
        RunError: If the file is not one of measurements.
    """

    def __init__(
        self,
        model: nn.Module,
        design: Design,
        test: TestSet,
        sampling: Sampling,
        file: Path | None = None,
        looks: Looks | None = None,
        split: Split | None = None,
    ) -> None:
        if not len(test.images):
            raise DataError("precision search: there are no validation images to measure accuracy on")
        self._keys = tuple(Periphery.decisions()) if design.chip.analog.adcs_differ else SUMS_FIELDS
        analog = to_analog(model, design, generator=None, calibration=test.calibration)
        sampled = SampledChips(analog, design, test, sampling, recall=True)
        self._sampled: Chips = sampled if split is None else split(sampled)
        self._seed = sampling.seed
        self._file = file
        self._measured: dict[str, _Packed] = {}
        self._margins: list[float] | None = None
        if file is not None and file.exists():
            self._measured, self._margins = _read(file)
        self.looks = looks
        """The order of the images."""
        if looks is not None:
            self._sampled.reorder(torch.from_numpy(looks.order))

    def __call__(self, design: Design) -> Bools:
        """Whether each image is right on each chip, [chips, images].

        Args:
            design: Differs from the first in its peripheries only.

        Raises:
            RunError: If the file of measurements cannot be written.
        """
        return self.until(design, lambda _: False)

    def nominal(self, design: Design) -> Bools:
        """The same of the design that others are compared with; from then on, hard images come first.

        Its answers are in that order, too. It is measured before any other.

        Raises:
            RunError: If the file of measurements cannot be written.
        """
        key = self._key(design)
        if self._margins is None:
            found = self._sampled.margins(design)
            self._margins = found.margin.mean(axis=0).tolist()
            self.looks = Looks.hardest_first(np.array(self._margins), self._seed)
            self._keep(key, found.correct[:, self.looks.order])
        else:
            self.looks = Looks.hardest_first(np.array(self._margins), self._seed)
        self._sampled.reorder(torch.from_numpy(self.looks.order))
        return _unpacked(self._measured[key])

    def until(self, design: Design, enough: Enough) -> Bools:
        """Whether each of the first images is right on each chip, [chips, images], until enough of them were measured.

        Where memory does not hold all chips at once, all images are.

        Args:
            design: As for a call.
            enough: Asked at each of the `looks`; of what was measured before, too, so that it decides alike in a search
                that goes on.

        Raises:
            RunError: If the file of measurements cannot be written.
        """
        key = self._key(design)
        found = _unpacked(self._measured[key]) if key in self._measured else None
        all_chips = self._sampled.at_once(design)
        looks = self.looks.ends if self.looks is not None and all_chips else (self._sampled.n_images,)
        for end in looks:
            before = 0 if found is None else found.shape[1]
            if before < end:
                more = self._sampled.correct(design, images=slice(before, end))
                found = more if found is None else np.concatenate([found, more], axis=1)
                self._keep(key, found)
            if found is not None and enough(found[:, :end]):
                return found[:, :end]
        assert found is not None  # noqa: S101 (there are images)
        return found

    def _key(self, design: Design) -> str:
        return " ".join(entry.short(self._keys) for entry in design.periphery)

    def _keep(self, key: str, correct: Bools) -> None:
        self._measured[key] = _packed(correct)
        if self._file is not None:
            kept: dict[str, Any] = {"margins": self._margins, "measured": self._measured}
            write_atomically(self._file, json.dumps(kept) + "\n")


class _Packed(TypedDict):
    """Whether the network is right on each chip and image, eight to a byte."""

    shape: list[int]
    correct: str
    """Hexadecimal."""


def _read(file: Path) -> tuple[dict[str, _Packed], list[float] | None]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return kept["measured"], kept["margins"]
    except (ValueError, KeyError):
        raise RunError(f"{file}: not a file of measurements; delete it to have them repeated") from None


def _packed(correct: Bools) -> _Packed:
    return {"shape": list(correct.shape), "correct": np.packbits(correct).tobytes().hex()}


def _unpacked(entry: _Packed) -> Bools:
    packed = np.frombuffer(bytes.fromhex(entry["correct"]), np.uint8)
    return np.unpackbits(packed, count=int(np.prod(entry["shape"]))).astype(bool).reshape(entry["shape"])


__all__ = ["ChipBench"]
