"""The strategies of phase 2 by name, and what they may learn from. No torch here: strategies are imported when used.

An entry makes a strategy ready for one trained network. A package adds its own by the entry point group
`xpert.precision_strategies`, a program by `register`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpert.design import Design
from xpert.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xpert.progress import Report
    from xpert.search.precision.session import Strategy
    from xpert.statistics import Bools


@dataclass(frozen=True)
class TrainedNetwork:
    """What a strategy of phase 2 may learn from before, and while, it searches."""

    model: nn.Module
    """Trained; left as it is."""

    design: Design
    """From phase 1."""

    options: Sequence[tuple[Any, ...]]
    """Values of `PRECISION_FIELDS` from which every layer chooses."""

    training_images: Callable[[int], tuple[Tensor, Tensor]]
    """The first so many normalised training images [n, channels, height, width], and their classes [n]."""

    calibration: Tensor
    """Normalised images on which ADC ranges are set."""

    bench_of: Callable[[nn.Module], Callable[[Design], Bools]]
    """Measures other weights of the network, on the images and chips of the session's bench."""

    seed: int
    """Of everything random."""

    progress: Report
    """Called as work goes on."""


class Prepared(NamedTuple):
    """A strategy that is ready to run, and the error model behind it, where it has one."""

    strategy: Strategy

    errors: NDArray[np.float64] | None = None
    """Relative output error of every layer with every option, [layers, options]."""

    losses: NDArray[np.float64] | None = None
    """What that error is predicted to cost the network, [layers, options]. [nat]"""


PRECISION_STRATEGIES: Registry[Callable[[TrainedNetwork], Prepared]] = Registry(
    "precision strategy",
    "xpert.precision_strategies",
    lambda: {
        "sensitivity": "xpert.search.precision.sensitivity:prepare",
        "gradient": "xpert.search.precision.gradient:prepare",
        "evolution": "xpert.search.precision.evolution:prepare",
    },
)
"""By an additive error model and exact knapsacks; by logits that are learned on the simulation, the weights along with
them; by NSGA-II on cost and measured accuracy."""

__all__ = ["PRECISION_STRATEGIES", "Prepared", "TrainedNetwork"]
