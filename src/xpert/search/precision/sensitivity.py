"""Phase 2 by an additive error model: what each layer's output error costs the network, and exact knapsacks on it.

Every layer's choices are priced by the hardware model and by the error model: the relative output error of the layer's
crossbars at that precision (measured by the analog simulation) times what such an error costs the network (measured by
noise in one layer at a time). Choosing one precision per layer for the least cost under a bound on the summed loss is
a multiple-choice knapsack, solved exactly. Measurements of whole designs decide which bound is admissible.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import at_precision, layer_errors
from xpert.analog.recall import LIMIT, recorded
from xpert.design import Design
from xpert.networks.quantised import quantised_layers
from xpert.progress import Progress, Report
from xpert.search.precision.session import Session, Strategy
from xpert.search.precision.strategies import Prepared, TrainedNetwork

BISECTIONS = 7
"""Steps on the bound of the predicted loss."""

IMAGES = 256
"""Training images on which noise is put into the layers."""

NOISE_TO_SIGNAL = 0.05
"""Power of the noise put into one layer, relative to the power of its output: a few ADC levels, a linear range."""


@torch.no_grad()
def noise_sensitivity(
    model: nn.Module,
    design: Design,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    draws: int = 4,
    progress: Report | None = None,
) -> NDArray[np.float64]:
    """Rise of the loss per unit of relative output noise, for each quantised layer.

    White noise with a power of `NOISE_TO_SIGNAL` times that of the layer's own output (per image) is added to one layer
    at a time; the mean rise of the cross entropy over `draws` draws, divided by that ratio, is the layer's sensitivity.
    To first order the loss of several small independent errors is the sum of such terms, because their cross terms
    vanish in the mean; this is what lets phase 2 choose precisions by a knapsack. Rises that the draws cannot tell from
    zero are taken as the smallest that they can tell.

    Args:
        model: A network of quantised layers; left as it is.
        design: The precisions at which it computes.
        images: Normalised images [n, channels, height, width].
        labels: Classes [n].
        seed: Of the noise.
        draws: Draws per layer.
        progress: Called after each layer with the layers done.

    Returns:
        Loss per unit of noise-to-signal power, [layers], all positive. [nat]
    """
    generator = torch.Generator(device=images.device).manual_seed(seed)
    layers = quantised_layers(model)
    training = model.training
    model.eval()
    try:
        with at_precision(model, design):
            with recorded(layers) as clean:
                base = F.cross_entropy(model(images), labels)

            def disturb(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                power = output.square().flatten(1).mean(dim=1).view(-1, *[1] * (output.dim() - 1))
                noise = torch.randn(output.shape, generator=generator, device=output.device, dtype=output.dtype)
                return output + noise * (NOISE_TO_SIGNAL * power).sqrt()

            rises, spreads = [], []
            for index, (name, layer) in enumerate(layers.items()):
                handle = layer.register_forward_hook(disturb)
                try:
                    with _recalled(layers, clean, name):
                        losses = torch.stack([F.cross_entropy(model(images), labels) for _ in range(draws)])
                finally:
                    handle.remove()
                rises.append(float(losses.mean() - base))
                spreads.append(float(losses.std()) / draws**0.5 if draws > 1 else 0.0)
                if progress:
                    progress(Progress(unit="layer", done=index + 1, total=len(layers)))
    finally:
        model.train(training)
    smallest = max(float(np.median(spreads)), 1e-9)
    return np.maximum(rises, smallest) / NOISE_TO_SIGNAL


@contextlib.contextmanager
def _recalled(layers: Mapping[str, nn.Module], outputs: Mapping[str, Tensor], last: str) -> Iterator[None]:
    """Within this context layers that compute before the last one give what they gave, as does that one.

    Args:
        layers: By name.
        outputs: Of all layers, in the order in which they compute; none are recalled that take too much memory.
        last: Name of the last one.
    """
    names = list(outputs) if sum(one.nbytes for one in outputs.values()) <= LIMIT else []
    recalled = names[: names.index(last) + 1] if last in names else []
    with contextlib.ExitStack() as restored:
        for name in recalled:
            layer = layers[name]
            restored.callback(layer.__dict__.pop, "forward")
            layer.forward = lambda _input, output=outputs[name]: output
        yield


def prepare(trained: TrainedNetwork) -> Prepared:
    """Measure the error model of a network; the strategy that uses it."""
    images, labels = trained.training_images(IMAGES)
    weights = noise_sensitivity(
        trained.model, trained.design, images, labels, seed=trained.seed, progress=trained.progress
    )
    errors = layer_errors(
        trained.model, trained.design, trained.calibration, trained.options, progress=trained.progress
    )
    return Prepared(sensitivity(errors, weights), errors, errors * weights[:, None])


def sensitivity(errors: NDArray[np.float64], weights: NDArray[np.float64], bisections: int = BISECTIONS) -> Strategy:
    """The strategy of the additive error model.

    1. Measure the finest precisions, and the cheapest ones of all.
    2. Bisect the bound on the predicted loss, geometrically, between the two: the cheapest design under a bound is a
       multiple-choice knapsack, and its measured accuracy says whether the bound is admissible. The first bound is the
       predicted loss of the best design of one precision in all layers, where the session knows one.
    3. From the cheapest design that is accurate, try single layers at cheaper precisions.

    Args:
        errors: Relative output error (noise-to-signal power) of every layer with every option, [layers, options].
        weights: Loss per unit of that error, [layers]. [nat]
        bisections: Steps on the bound of the predicted loss.
    """
    losses = errors * weights[:, None]
    rows = np.arange(len(losses))

    def run(session: Session) -> None:
        finest = session.measure(losses.argmin(axis=1))
        choice = session.knapsack(losses, math.inf, finest.design)
        coarsest = session.measure(choice)
        best = choice if coarsest.accurate else losses.argmin(axis=1)
        start = session.start
        if (finest.accurate or start is not None) and not coarsest.accurate:
            low, high = float(losses.min(axis=1).sum()), float(losses[rows, choice].sum())
            begin = math.sqrt(low * high) if start is None else float(losses[rows, start].sum())
            for step in range(bisections):
                bound = begin if step == 0 and low < begin < high else math.sqrt(low * high)
                choice = session.knapsack(losses, bound, session.design_of(choice))
                if session.measure(choice).accurate:
                    low, best = bound, choice
                else:
                    high = bound
        found = session.feasible()  # the cheapest first, the start among them
        if found or finest.accurate:
            _coarsen(session, np.array(found[0]) if found else best, losses)

    return run


def _coarsen(session: Session, choice: NDArray[np.int64], losses: NDArray[np.float64]) -> None:
    """Try single layers at cheaper precisions: the cheapest, then what saves most per predicted loss.

    The joint bound treats all layers by one exchange rate, and predictions err; measurements tell which layers had more
    to give. Layers whose move promises most go first; at most two tries a layer.
    """
    options = np.arange(len(session.options))
    tables, constants = session.tables(session.design_of(choice))  # [factors, layers, options], [factors]
    rows = np.arange(session.n_layers)

    def saved(layer: int) -> NDArray[np.float64]:
        """What each option of a layer takes off the objective, as a share, [options]."""
        sums = tables[:, rows, choice].sum(axis=1) + constants  # [factors]: the layers' axis is summed over
        others = sums[:, None] - tables[:, layer, choice[layer], None] + tables[:, layer, options]  # [factors, options]
        return 1 - (others / sums[:, None]).prod(axis=0)

    def gain(layer: int) -> NDArray[np.float64]:
        """What it saves per predicted loss that it adds, [options]."""
        share = saved(layer)
        with np.errstate(invalid="ignore"):  # losses may be infinite, where a network gives the same for all images
            added = np.nan_to_num(losses[layer] - losses[layer, choice[layer]], nan=0.0, posinf=np.inf)
        return np.where(share > 0, share / np.maximum(added, 1e-12), 0.0)

    for layer in sorted(range(session.n_layers), key=lambda layer: -gain(layer).max()):
        for option in (int(saved(layer).argmax()), int(gain(layer).argmax())):
            if saved(layer)[option] <= 0:
                continue
            other = choice.copy()
            other[layer] = option
            if session.measure(other).accurate:
                choice = other
                break


__all__ = ["NOISE_TO_SIGNAL", "noise_sensitivity", "prepare", "sensitivity"]
