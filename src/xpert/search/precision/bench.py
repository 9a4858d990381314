"""Which images a network gets right on sampled chips, design by design: what phase 2 measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import numpy as np
from torch import nn

from xpert.analog import to_analog
from xpert.analog.accuracy import SampledChips
from xpert.analog.sampling import Sampling, TestSet
from xpert.design import SUMS_FIELDS, Design, Periphery
from xpert.errors import DataError, RunError
from xpert.files import write_atomically
from xpert.statistics import Bools


class ChipBench:
    """A trained network on the same chips and images for every design that is asked for.

    Chips are those of `ni_accuracy` with the same seed: designs that differ in their precisions alone are measured on
    identical cells.

    Args:
        model: Trained; its present weights are written to every chip.
        design: Network and chip; the designs to measure may differ in ADC and input precision. Where ADCs have errors
            of their own they may also differ in kind and sharing: each of these is programmed anew.
        test: Where it is measured.
        sampling: On which chips.
        file: Keeps the measurements, so that a killed search does not repeat them; None keeps none.

    Raises:
        ConfigError: If model and design do not match.
        DataError: If there are no images.
        RunError: If the file is not one of measurements.
    """

    def __init__(
        self, model: nn.Module, design: Design, test: TestSet, sampling: Sampling, file: Path | None = None
    ) -> None:
        if not len(test.images):
            raise DataError("precision search: there are no validation images to measure accuracy on")
        self._model, self._test, self._sampling = model, test, sampling
        self._keys = tuple(Periphery.decisions()) if design.chip.analog.adcs_differ else SUMS_FIELDS
        analog = to_analog(model, design, generator=None, calibration=test.calibration)
        self._sampled = SampledChips(analog, design, test, sampling)
        self._file = file
        self._measured = _read(file) if file is not None and file.exists() else {}

    def __call__(self, design: Design) -> Bools:
        """Whether each image is right on each chip, [chips, images].

        Args:
            design: Differs from the first in its peripheries only.

        Raises:
            RunError: If the file of measurements cannot be written.
        """
        if self._file is None:
            return self._sampled.correct(design)
        key = " ".join(entry.short(self._keys) for entry in design.periphery)
        if key not in self._measured:
            self._measured[key] = _packed(self._sampled.correct(design))
            write_atomically(self._file, json.dumps(self._measured) + "\n")
        return _unpacked(self._measured[key])


class _Packed(TypedDict):
    """Whether the network is right on each chip and image, eight to a byte."""

    shape: list[int]
    correct: str
    """Hexadecimal."""


def _read(file: Path) -> dict[str, _Packed]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise RunError(f"{file}: not a file of measurements; delete it to have them repeated") from None


def _packed(correct: Bools) -> _Packed:
    return {"shape": list(correct.shape), "correct": np.packbits(correct).tobytes().hex()}


def _unpacked(entry: _Packed) -> Bools:
    packed = np.frombuffer(bytes.fromhex(entry["correct"]), np.uint8)
    return np.unpackbits(packed, count=int(np.prod(entry["shape"]))).astype(bool).reshape(entry["shape"])


__all__ = ["ChipBench"]
