"""Several processes that train one model together, by torch's own distributed package.

`torchrun --nproc-per-node N ...` starts them, one per GPU, and they train within `torchrun_group()`.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def torchrun_group(*, on_gpus: bool = True) -> Iterator[torch.device]:
    """Join the processes that torchrun started; alone where it did not.

    Args:
        on_gpus: Whether each takes a GPU, where there are GPUs.

    Yields:
        The device of this process: its own GPU where there are GPUs, else the CPU.
    """
    gpu = on_gpus and torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if not started_by_torchrun():
        yield device
        return
    # Between two trainings lies as much time as a search likes to take.
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=timedelta(days=30))
    try:
        with warnings.catch_warnings():
            # Of dimensions with one entry, the strides of which mean nothing.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield device
    finally:
        dist.destroy_process_group()


def started_by_torchrun() -> bool:
    """Whether this is one of several processes that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def count() -> int:
    """How many processes train together; 1 outside `torchrun_group`."""
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


@contextlib.contextmanager
def own_cores() -> Iterator[None]:
    """Within this context each process computes on its share of the cores, not all on all."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // count()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def broadcast_text(text: str = "") -> str:
    """The text of the process of rank 0, in all of them."""
    if count() == 1:
        return text
    length = torch.tensor([len(text.encode())])
    dist.broadcast(length, 0)
    content = torch.zeros(int(length), dtype=torch.uint8)
    if rank() == 0:
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    dist.broadcast(content, 0)
    return content.numpy().tobytes().decode()


def broadcast_model(model: nn.Module) -> None:
    """Give all processes the parameters and buffers of the one of rank 0."""
    if count() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, in place."""
    if count() > 1:
        dist.all_reduce(values)
    return values


__all__ = [
    "broadcast_model",
    "broadcast_text",
    "count",
    "own_cores",
    "parallel",
    "rank",
    "started_by_torchrun",
    "sum_over_processes",
    "torchrun_group",
]
