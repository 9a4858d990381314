"""Worker processes that take part in a run's trainings.

The run's own process decides everything; before it trains, it tells the workers what, and each does the same on its
share of every batch. Workers read the run folder's config, load the data for themselves, and write nothing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from xpert.errors import ConfigError, RunError
from xpert.experiment.config import SearchConfig
from xpert.experiment.run import read_config
from xpert.experiment.trainings import take_part
from xpert.training import device_of, distributed

_HOST = "127.0.0.1"
_SECONDS_BETWEEN_LOOKS = 0.2


def refuse_odd_numbers(count: int, config: SearchConfig, device: torch.device) -> None:
    """Refuse a number of processes that cannot train together.

    Args:
        count: How many.
        config: Of the run.
        device: As for `workers`.

    Raises:
        ConfigError: If they cannot share a batch evenly, or there are fewer GPUs.
    """
    if count < 1:
        raise ConfigError(f"processes: must be at least 1, got {count}")
    for settings in (config.training, config.baselines.training):
        if settings and settings.batch_size % count:
            raise ConfigError(f"processes: {count} cannot share batches of {settings.batch_size} images evenly")
    if device.type == "cuda" and count > 1:
        n_gpus = torch.cuda.device_count()
        if device.index or n_gpus < count:
            raise ConfigError(f"processes: {count} need GPUs 0 to {count - 1}; here are {n_gpus}, from {device}")


@contextlib.contextmanager
def workers(count: int, folder: Path, device: torch.device) -> Iterator[None]:
    """Within this context, `count` processes share every training of a run.

    Args:
        count: How many, this one included; 1 starts none.
        folder: The open run folder.
        device: Where this process trains: the CPU, the cores of which all share, or a GPU; each worker takes the next.

    Raises:
        RunError: If a worker stops.
    """
    if count == 1:
        yield
        return
    store = dist.TCPStore(_HOST, 0, count, is_master=True, wait_for_workers=False)  # pyright: ignore[reportPrivateImportUsage]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    logs = [folder / "state" / f"worker{rank}.log" for rank in range(1, count)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank, log in enumerate(logs, start=1):
            place = "cpu" if device.type == "cpu" else f"cuda:{rank}"
            arguments = [str(folder), place, str(store.port), str(rank), str(count)]
            with log.open("wb") as output:
                started.append(
                    subprocess.Popen(  # noqa: S603
                        [sys.executable, "-m", __name__, *arguments],
                        env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                        start_new_session=True,  # Ctrl-C is for the run's own process
                    )
                )  # fmt: skip
        while not store.check([_present(rank) for rank in range(1, count)]):
            _refuse_stopped(started, logs)
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        with distributed.process_group(store, 0, count, device):
            try:
                yield
            except RuntimeError:
                time.sleep(5 * _SECONDS_BETWEEN_LOOKS)  # why a connection was lost takes a moment to show
                _refuse_stopped(started, logs)
                raise
            finally:
                _stop(started)  # while the group stands: they would complain of its end
    finally:
        _stop(started)
        for log in logs:
            if log.exists() and not log.stat().st_size:
                log.unlink()


def _stop(started: list[subprocess.Popen[bytes]]) -> None:
    for process in started:
        process.kill()
        process.wait()


def _present(rank: int) -> str:
    return f"worker {rank} is here"


def _refuse_stopped(started: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
    for process, log in zip(started, logs):
        if process.poll() is not None:
            raise RunError(f"a worker process stopped, with exit code {process.returncode}; what it said is in {log}")


def _stop_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Work for the process that started this one."""
    _stop_with_parent()
    folder, place, port, rank, count = sys.argv[1:]
    device = device_of(place)
    store = dist.TCPStore(_HOST, int(port), int(count), is_master=False)  # pyright: ignore[reportPrivateImportUsage]
    store.set(_present(int(rank)), "")
    with distributed.process_group(store, int(rank), int(count), device):
        take_part(read_config(Path(folder)), device)


__all__ = ["refuse_odd_numbers", "workers"]

if __name__ == "__main__":
    main()
