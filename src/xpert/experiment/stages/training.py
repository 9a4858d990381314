"""The training stages: the found network's, and the backbone's."""

from __future__ import annotations

from pathlib import Path

from xpert.design import Network
from xpert.experiment.trainings import Recipe, train_new
from xpert.files import jsonable
from xpert.progress import Report
from xpert.results import Epoch, Training
from xpert.training import Dataset, save_weights


def train_network(
    network: Network, recipe: Recipe, dataset: Dataset, weights: Path, checkpoint: Path, progress: Report
) -> Training:
    """Train a network and leave its weights in a file; the curve, and how much work it was.

    Args:
        network: What to train.
        recipe: How.
        dataset: What it is trained on; the network goes where it is.
        weights: Where the weights go.
        checkpoint: Working file, from which a killed training goes on.
        progress: Called as work goes on; the figure `event` of a finished epoch is "epoch".

    Raises:
        RunError: If a file cannot be written, or the training diverges.
    """
    model, result = train_new(network, recipe, dataset, checkpoint, progress)
    save_weights(model, weights)
    curve = tuple(Epoch.parse(jsonable(row)) for row in result.curves)
    return Training(curve=curve, number_format=result.precision, operations=result.operations)


__all__ = ["train_network"]
