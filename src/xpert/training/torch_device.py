"""Where tensors live: the processor, or a GPU."""

from __future__ import annotations

import torch

from xpert.errors import ConfigError


def device_of(name: str) -> torch.device:
    """The device of a name: `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigError: If there is no such device here.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ["cpu", *(["cuda"] if n_gpus else []), *(f"cuda:{index}" for index in range(n_gpus))]
    if name not in names:
        raise ConfigError(f"device: must be one of {', '.join(names)} on this machine, got {name!r}")
    return torch.device(name)


__all__ = ["device_of"]
