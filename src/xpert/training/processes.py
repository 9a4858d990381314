"""Several processes that train one model together, by torch's own distributed package.

Start them with `torchrun --nproc-per-node N ...`, one per GPU, and train within `joined()`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def joined() -> Iterator[torch.device]:
    """Join the processes that torchrun started; alone where it did not.

    Yields:
        The device of this process: its own GPU where there are GPUs, else the CPU.
    """
    gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together; 1 outside `joined`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the one of rank 0 writes files and shows progress."""
    return dist.get_rank() if count() > 1 else 0


def parallel(model: nn.Module) -> nn.Module:
    """The model with its gradients averaged over all processes; on GPUs batch norm sees the whole batch too."""
    if count() == 1:
        return model
    parameter = next(model.parameters())
    if parameter.is_cuda:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return DistributedDataParallel(model, device_ids=[parameter.device] if parameter.is_cuda else None)


def total(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, in place."""
    if count() > 1:
        dist.all_reduce(values)
    return values


__all__ = ["count", "joined", "parallel", "rank", "total"]
