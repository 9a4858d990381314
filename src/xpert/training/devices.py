"""Where tensors live, the processor or a GPU, and on how many threads the processor computes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits

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


@contextlib.contextmanager
def computing_on(threads: int | None) -> Iterator[None]:
    """Within this context torch and the linear algebra of numpy and scipy compute on so many threads.

    Whatever the environment says: how a sum is cut into parts decides its last bits.

    Args:
        threads: How many; None leaves them as they are.
    """
    before = torch.get_num_threads()
    with threadpool_limits(threads, user_api="blas"):
        torch.set_num_threads(threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


__all__ = ["computing_on", "device_of"]
