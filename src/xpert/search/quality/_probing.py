"""What the scores share: a copy that can be taken apart, and the outputs of its ReLUs."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from xpert.errors import ConfigError


def working_copy(network: nn.Module) -> nn.Module:
    """A copy in training mode (batch norm uses the statistics of the batch) without dropout."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    return network


@contextlib.contextmanager
def relu_outputs(network: nn.Module, score: str, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Within this context `see` is called with the output of every ReLU, in the order of computation.

    Raises:
        ConfigError: If the network has no ReLU module.
    """
    relus = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    if not relus:
        raise ConfigError(f"{score}: the network has no nn.ReLU module, whose outputs it looks at")

    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        see(output)

    handles = [relu.register_forward_hook(hook) for relu in relus]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def weights(network: nn.Module) -> list[Tensor]:
    """The weights of convolutions and linear layers, layer by layer."""
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


__all__ = ["relu_outputs", "weights", "working_copy"]
