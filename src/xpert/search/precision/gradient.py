"""Phase 2 by gradient descent: the published method, with an estimator that can work.

Every layer holds one logit per precision. In every step two precisions of a layer are drawn by their chances (softmax
of the logits), the layer is simulated with both on a newly written chip, and its output is the mean of the two,
weighted by their chances relative to each other. The loss is the cross entropy plus a price on the logarithm of the
expected objective; its gradient reaches the logits through the weights of the mean (what the difference of the two
outputs does to the loss) and through the expected objective, and the network's weights by straight-through. So every
choice has a gradient of its own. In the published code the gradient of a gate was the same number for all choices of a
layer, which moves no softmax, and no cost entered.

All precisions of a layer begin with the same chance, but for that of the best single periphery, where the session knows
it. The price rises from step to step of a ladder; after each, the likeliest precisions are measured with the weights
as they are. The last price at which accuracy sufficed and the first at which it did not are then halved.

Source: Cai et al., ICLR 2019 (arXiv 1812.00332), section 3.2 (two sampled paths, renormalised); Jang et al., ICLR 2017
(arXiv 1611.01144) (draws by Gumbel noise); Bhattacharjee et al., DAC 2023 (arXiv 2303.17646), section 3.2 (the search).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.analog import AnalogLayer, analog_layers, reprogram, to_analog
from xpert.design import PRECISION_FIELDS, Design
from xpert.networks.quantised import replace_module
from xpert.progress import Progress
from xpert.search.precision.converters import Precision
from xpert.search.precision.session import Session, Strategy
from xpert.search.precision.strategies import Prepared, TrainedNetwork
from xpert.statistics import Bools

PRICES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Prices of the logarithm of the objective, tried in this order. [nat]"""

HALVINGS = 3

IMAGES = 8192
"""Training images that batches are drawn from."""

LOGIT_RATE = 0.1
"""Learning rate of the logits (Adam)."""


START = 1.0
"""How far the logits of the best single periphery stand above the others at first."""


@dataclass(frozen=True)
class GradientSettings:
    """How long and how fast."""

    steps: int = 40
    """Steps at every price."""

    batch_size: int = 64
    """Images per step."""

    learning_rate: float = 0.005
    """Of the network's weights (Nesterov momentum 0.9)."""


class Mixture(nn.Module):
    """A layer on crossbars whose precision is undecided.

    Args:
        analog: The layer.
        options: Values of `PRECISION_FIELDS`.
        logits: Of the options, [options].
        generator: Of the draws, on the CPU.
    """

    def __init__(
        self, analog: AnalogLayer, options: Sequence[Precision], logits: Tensor, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.analog = analog
        self._options = [analog.periphery.with_values(PRECISION_FIELDS, values) for values in options]
        self._logits = [logits]  # in a list: not a parameter of this module's own
        self._generator = generator

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        logits = self._logits[0]
        drawn = two_by_chance(logits.detach(), self._generator)
        shares = logits[drawn].softmax(0)  # [2], or [1] where there is one option
        outputs = []
        for option in drawn.tolist():
            self.analog.set_periphery(self._options[option])
            outputs.append(self.analog(input))
        return shares[0] * outputs[0] + shares[1] * outputs[1] if len(outputs) > 1 else outputs[0]


def two_by_chance(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Indices of two different options, drawn by their chances; of the only one where there is no other."""
    uniform = torch.rand(logits.shape, generator=generator).clamp_(1e-9, 1 - 1e-7).to(logits.device)
    # Logits with Gumbel noise: the largest are a draw without replacement, by the chances of the softmax.
    return (logits - uniform.log().neg_().log_()).topk(min(2, len(logits))).indices


def expected_log_objective(logits: Tensor, tables: Tensor, constants: Tensor) -> Tensor:
    """Logarithm of the objective if every layer took the mean over its options, by their chances.

    Args:
        logits: [layers, options].
        tables: Costs of every factor of the objective, [factors, layers, options].
        constants: What is added to each sum, [factors].
    """
    # [factors, layers, options] -> [factors]: the mean over options, summed over layers.
    return ((logits.softmax(1) * tables).sum(dim=(1, 2)) + constants).log().sum()


def prepare(trained: TrainedNetwork) -> Prepared:
    """The strategy for a trained network; see `gradient`."""
    images, labels = trained.training_images(IMAGES)
    return Prepared(gradient(trained.model, images, labels, trained.calibration, trained.bench_of))


def gradient(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    calibration: Tensor,
    bench_of: Callable[[nn.Module], Callable[[Design], Bools]],
    settings: GradientSettings | None = None,
) -> Strategy:
    """The strategy.

    Args:
        model: Trained network; left as it is.
        images: Normalised training images [n, channels, height, width].
        labels: Their classes [n].
        calibration: Normalised images on which ADC ranges are set.
        bench_of: Measures other weights of the network, on the images and chips of the session's bench.
        settings: How long and how fast.
    """
    chosen = settings or GradientSettings()

    def run(session: Session) -> None:
        search = _Search(session, model, images, labels, calibration, chosen)

        def attempt(price: float) -> bool:
            search.descend(price)
            tuned = search.tuned()
            weights = {name: tensor.clone() for name, tensor in tuned.state_dict().items()}
            choice = search.logits.argmax(1).cpu().numpy()
            return session.measure(choice, correct=bench_of(tuned), weights=weights).accurate

        before, low, high = search.state(), 0.0, 0.0
        for price in PRICES:
            if not attempt(price):
                high = price
                break
            before, low = search.state(), price
        for _ in range(HALVINGS if high else 0):
            price = (low * high) ** 0.5 if low else high / 3
            search.restore(before)
            if attempt(price):
                before, low = search.state(), price
            else:
                high = price

    return run


class _State(NamedTuple):
    """What a search goes back to."""

    weights: dict[str, Tensor]
    logits: Tensor
    """[layers, options]."""


class _Search:
    """Logits, weights and optimisers."""

    def __init__(
        self,
        session: Session,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        calibration: Tensor,
        settings: GradientSettings,
    ) -> None:
        self.session, self.settings = session, settings
        self.model, self.images, self.labels = model, images, labels
        self._generator = torch.Generator().manual_seed(session.seed)
        logits = torch.zeros((session.n_layers, len(session.options)), device=images.device)
        if session.start is not None:
            logits[range(session.n_layers), session.start] = START
        self.logits = logits.requires_grad_()
        self.network = to_analog(model, session.design, generator=None, calibration=calibration)
        layers = analog_layers(self.network)
        self._order = [layer.name for layer in session.design.network.layers]
        for index, name in enumerate(self._order):
            mixture = Mixture(layers[name], session.options, self.logits[index], self._generator)
            replace_module(self.network, name, mixture)
        self._renew()

    def _renew(self) -> None:
        weights = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        rate = self.settings.learning_rate
        self._weight_optimiser = torch.optim.SGD(weights, rate, momentum=0.9, nesterov=True)
        self._logit_optimiser = torch.optim.Adam([self.logits], LOGIT_RATE)

    def descend(self, price: float) -> None:
        """Steps at one price."""
        likeliest = self.session.design_of(self.logits.argmax(1).cpu().numpy())
        device = self.logits.device
        # [factors, layers, options] and [factors]; they hold in the context of the likeliest design.
        tables, constants = (torch.as_tensor(part, device=device) for part in self.session.tables(likeliest))
        for step in range(self.settings.steps):
            count = min(self.settings.batch_size, len(self.images))
            batch = torch.randperm(len(self.images), generator=self._generator)[:count]
            self._rewrite()
            self._weight_optimiser.zero_grad()
            self._logit_optimiser.zero_grad()
            # Batch norm keeps its statistics: they are those of the whole training.
            loss = F.cross_entropy(self.network(self.images[batch]), self.labels[batch])
            cost = expected_log_objective(self.logits.double(), tables, constants)
            (loss + price * cost).backward()
            self._weight_optimiser.step()
            self._logit_optimiser.step()
            figures = {"price": price, "loss": loss.item(), "expected_log_objective": cost.item()}
            self.session.report(Progress(unit="step", done=step + 1, total=self.settings.steps, figures=figures))

    def _rewrite(self) -> None:
        """Write the present weights to a new chip; logits are leaves whose rows the layers hold, so hand them anew."""
        reprogram(self.network, self._generator, [f"{name}.analog" for name in self._order])
        for index, name in enumerate(self._order):
            self.network.get_submodule(name)._logits[0] = self.logits[index]  # type: ignore[union-attr, index]

    def tuned(self) -> nn.Module:
        """The quantised network with the weights as they are."""
        model = copy.deepcopy(self.model)
        own = {name.replace(".analog.layer.", "."): tensor for name, tensor in self.network.state_dict().items()}
        model.load_state_dict({name: own[name] for name in model.state_dict()})
        return model.eval()

    def state(self) -> _State:
        """What `restore` goes back to."""
        weights = {name: tensor.detach().clone() for name, tensor in self.network.named_parameters()}
        return _State(weights, self.logits.detach().clone())

    def restore(self, state: _State) -> None:
        """Go back, with optimisers that start anew."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(state.weights[name])
            self.logits.copy_(state.logits)
        self._renew()


__all__ = ["GradientSettings", "Mixture", "expected_log_objective", "gradient", "prepare", "two_by_chance"]
