"""Predictors of accuracy that are fitted to trained networks, judged on networks that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]

SHORT, LONG = 1, 4
"""Passes over the images of the two budgets; in the longer one shallow networks lose their lead of a short training."""

STAGES = np.repeat(np.arange(5), (2, 2, 3, 3, 3))
"""Stage of each of VGG16's convolutions: layers between two poolings."""

OPTIONAL = np.array([2, 4, 5, 7, 8, 10, 11])
"""Convolutions that may be left out."""

UNIT_WIDTH = 64
"""Widths are counted in units of this."""

RIDGE = 1e-3
"""Penalty on the squares of standardised coefficients, per network."""

EXPONENTS = (0.25, 0.5, 0.75, 1.0, 1.5)
"""Exponents of power laws from which every fit chooses."""


@dataclass(frozen=True)
class Networks:
    """What is known of some networks before they are trained."""

    widths: Floats
    """Output channels of the convolutions, [networks, layers]; 0 for one that is left out."""

    scores: Mapping[str, Floats]
    """Training-free scores by name, [networks] each."""

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Networks:
        """Some of the networks."""
        return Networks(self.widths[index], {name: values[index] for name, values in self.scores.items()})

    @property
    def absent(self) -> Floats:
        """1 where a convolution is left out, else 0, [networks, layers]."""
        return (self.widths == 0).astype(float)

    def __len__(self) -> int:
        return len(self.widths)


@dataclass(frozen=True)
class Fit:
    """accuracy = constant + features(exponent) . coefficients."""

    coefficients: Floats
    constant: float
    exponent: float


@dataclass(frozen=True)
class Predictor:
    """A family of fits."""

    name: str
    meaning: str
    features: Callable[[Networks, float], Floats]
    """Of networks and an exponent: [networks, features]."""

    exponents: Sequence[float] = (1.0,)
    rising: bool = True
    """Whether no coefficient may be negative."""

    additive: bool = True
    """Whether it is a sum over layers, of each layer's width and its predecessor's."""

    def fit(self, networks: Networks, accuracy: Floats) -> Fit:
        """The fit whose exponent predicts left-out networks best."""
        best = self.exponents[0]
        if len(self.exponents) > 1:
            best = min(self.exponents, key=lambda exponent: self._error(networks, accuracy, exponent))
        return Fit(*self._solve(self.features(networks, best), accuracy), best)

    def _error(self, networks: Networks, accuracy: Floats, exponent: float) -> float:
        """Mean squared error on networks left out one at a time."""
        features = self.features(networks, exponent)
        predictions = np.empty(len(networks))
        for index in range(len(networks)):
            others = np.arange(len(networks)) != index
            coefficients, constant = self._solve(features[others], accuracy[others])
            predictions[index] = features[index] @ coefficients + constant
        return float(((predictions - accuracy) ** 2).mean())

    def predict(self, fit: Fit, networks: Networks) -> Floats:
        """Accuracies, [networks]."""
        return self.features(networks, fit.exponent) @ fit.coefficients + fit.constant

    def left_out(self, networks: Networks, accuracy: Floats) -> Floats:
        """The accuracy of every network as predicted without it, the choice of the exponent included, [networks]."""
        predictions = np.empty(len(networks))
        for index in range(len(networks)):
            others = np.arange(len(networks)) != index
            fit = self.fit(networks.take(others), accuracy[others])
            predictions[index] = self.predict(fit, networks.take(~others))[0]
        return predictions

    def _solve(self, features: Floats, accuracy: Floats) -> tuple[Floats, float]:
        """Least squares with a small ridge."""
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        unit = np.eye(features.shape[1])
        rows = [(features - mean) / spread, np.sqrt(RIDGE * len(accuracy)) * unit]
        matrix = np.vstack(rows)
        target = np.zeros(len(matrix))
        target[: len(accuracy)] = accuracy - accuracy.mean()
        solution = nnls(matrix, target)[0] if self.rising else np.linalg.lstsq(matrix, target, rcond=None)[0]
        coefficients = solution / spread
        return coefficients, float(accuracy.mean() - mean @ coefficients)


def stage_means(values: Floats) -> Floats:
    """Means over the layers of each stage, [networks, layers] to [networks, stages]."""
    return np.stack([values[:, stage == STAGES].mean(axis=1) for stage in range(STAGES.max() + 1)], axis=1)


def power(widths: Floats, exponent: float) -> Floats:
    """What narrow layers miss, as a power of their width; rises to 0. A layer that is left out has no width to miss."""
    return -np.power(widths / UNIT_WIDTH, -exponent, out=np.zeros_like(widths), where=widths > 0)


def neighbours(widths: Floats) -> Floats:
    """The lesser of a layer's width and its predecessor's, [networks, layers]; the first layer's own."""
    return np.minimum(widths, np.concatenate([widths[:, :1], widths[:, :-1]], axis=1))


def _logs(networks: Networks) -> Floats:
    return np.log2(networks.widths / UNIT_WIDTH)


def _steps(networks: Networks) -> Floats:
    """Doublings up to each of five bounds: with rising coefficients any rising, concave, broken line."""
    logs = _logs(networks)
    return np.concatenate([stage_means(np.minimum(logs, bound)) for bound in (-1, 0, 1, 2, 3)], axis=1)


def _stage_powers(networks: Networks, exponent: float) -> Floats:
    return stage_means(power(networks.widths, exponent))


SCORES = ("parameters", "macs", "relu_units", "log_widths")
"""Scores that enter the combined predictor as logarithms."""


def _scores(networks: Networks) -> Floats:
    return np.stack([np.log(values) if name in SCORES else values for name, values in networks.scores.items()], axis=1)


ALL_SCORES = Predictor(
    "scores",
    "all training-free scores, sizes as logarithms",
    lambda networks, _: _scores(networks),
    rising=False,
    additive=False,
)


PREDICTORS = (
    Predictor(
        "width law",
        "power of the width, a coefficient per stage",
        _stage_powers,
        EXPONENTS,
    ),
    Predictor(
        "width law, layers apart",
        "the same, a coefficient per layer",
        lambda networks, exponent: power(networks.widths, exponent),
        EXPONENTS,
    ),
    Predictor(
        "width law, one loss",
        "the same, one coefficient",
        lambda networks, exponent: power(networks.widths, exponent).mean(axis=1, keepdims=True),
        EXPONENTS,
    ),
    Predictor(
        "width law with neighbours",
        "a coefficient per layer, and per stage the same of the lesser of two neighbours' widths",
        lambda networks, exponent: np.concatenate(
            [power(networks.widths, exponent), stage_means(power(neighbours(networks.widths), exponent))], axis=1
        ),
        EXPONENTS,
    ),
    Predictor(
        "doublings",
        "logarithm of the width, a coefficient per layer",
        lambda networks, _: _logs(networks),
    ),
    Predictor("broken lines", "a rising, concave, broken line of the logarithm per stage", lambda n, _: _steps(n)),
    ALL_SCORES,
    Predictor(
        "scores and doublings",
        "all training-free scores and the logarithms of the widths",
        lambda networks, _: np.concatenate([_scores(networks), stage_means(_logs(networks))], axis=1),
        rising=False,
        additive=False,
    ),
)
"""What is compared where no layer is left out."""

WITH_ABSENCES = (
    Predictor(
        "width law",
        "power of the width and number of missing layers, coefficients per stage",
        lambda networks, exponent: np.concatenate(
            [_stage_powers(networks, exponent), -stage_means(networks.absent)], axis=1
        ),
        EXPONENTS,
    ),
    Predictor(
        "width law, layers apart",
        "the same, coefficients per layer",
        lambda networks, exponent: np.concatenate(
            [power(networks.widths, exponent), -networks.absent[:, OPTIONAL]], axis=1
        ),
        EXPONENTS,
    ),
    Predictor(
        "width law, absences free",
        "without the missing layers",
        _stage_powers,
        EXPONENTS,
    ),
    ALL_SCORES,
)
"""What is compared where layers are left out."""
