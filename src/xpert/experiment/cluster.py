"""Where tasks run: in this process, in worker processes of this machine, or on a cluster, all behind one executor.

A task is a function of a module with arguments and a result of plain data: names and numbers. Its result does not
depend on where it ran. Workers are those of dask.distributed, which the extra `cluster` installs; a scheduler gives the
task of a worker that is gone to another one. No torch here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from xpert.errors import ConfigError, RunError

T = TypeVar("T")

_ATTEMPTS = 3
"""Workers on which a task is tried; if all of them stop in the midst of it, it is taken for the reason."""

_SECONDS_TO_CONNECT = 10
_SECONDS_TO_FIRST_WORKER = 120

_WORKER_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": _ATTEMPTS - 1,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.limit": "1h",  # a step of torch is no stuck event loop
    "distributed.version": 2,
}


@dataclass(frozen=True)
class Engine:
    """Runs tasks; in this process by default."""

    executor: Executor | None = None
    """Takes them; None: they run here, one after the other."""

    size: Callable[[], int] = lambda: 1
    """How many run at a time, as of now: workers come and go."""

    explain: Callable[[BaseException], RunError | None] = lambda _: None
    """What an error of the executor's own means; None for one of a task's."""

    @property
    def apart(self) -> bool:
        """Whether tasks run in other processes, which have to build what they need."""
        return self.executor is not None

    def results(self, task: Callable[..., T], arguments: Iterable[Sequence[Any]]) -> Iterator[tuple[int, T]]:
        """Results of a task with each of some arguments, and their numbers, as they come.

        Raises:
            RunError: If workers stop in the midst of one of them again and again, or the scheduler is gone. Then, as
                where a task raises an error itself or the caller stops asking, those that have not begun never do.
        """
        if self.executor is None:
            yield from ((number, task(*one)) for number, one in enumerate(arguments))
            return
        futures: dict[Future[T], int] = {}
        try:
            for number, one in enumerate(arguments):
                futures[self.executor.submit(task, *one)] = number
            for future in as_completed(futures):
                yield futures[future], future.result()
        except (Exception, CancelledError) as error:
            meaning = self.explain(error)
            if meaning is None:
                raise
            raise meaning from None
        finally:
            for future in futures:
                future.cancel()


HERE = Engine()
"""Runs tasks in this process."""


@contextlib.contextmanager
def engine(workers: int | None = None, cluster: str | None = None) -> Iterator[Engine]:
    """Where tasks run within this context; by default in this process.

    Args:
        workers: So many worker processes on this machine, one task each. They end with this process, however it ends,
            and listen on the loopback interface alone.
        cluster: The running scheduler whose workers are used: an address, `tcp://HOST:PORT` or `tls://HOST:PORT`, or
            the scheduler file that it wrote.

    Raises:
        ConfigError: If both are given, a number is not positive, or the extra is missing.
        RunError: If the scheduler cannot be reached, or has no workers.
    """
    if workers is not None and cluster is not None:
        raise ConfigError(f"give --workers or --cluster, not both (got --workers {workers} and --cluster {cluster})")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: must be at least 1, got {workers}")
    if workers is None and cluster is None:
        yield HERE
        return
    try:
        import dask.config
        import distributed
    except ModuleNotFoundError:
        flag = "--workers" if cluster is None else "--cluster"
        raise ConfigError(f"{flag}: needs dask.distributed: pip install 'xpert-imc[cluster]'") from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_WORKER_SETTINGS))
        stack.enter_context(_quiet())
        if cluster is None:
            assert workers is not None  # noqa: S101 (one of the two is given)
            address = stack.enter_context(_local(workers))
        else:
            address = _address(cluster)
        yield stack.enter_context(_connected(distributed, address, cluster))


@contextlib.contextmanager
def _local(workers: int) -> Iterator[str]:
    """A scheduler in this process, and workers beside it; its address."""
    from distributed import LocalCluster

    with tempfile.TemporaryDirectory(prefix="xpert-workers-", ignore_cleanup_errors=True) as folder:
        # A process that is started while Ctrl-C is ignored ignores it: it is for this one. Later ones see to it
        # themselves, see `dask_setup`.
        with _interrupts_ignored():
            local = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                local_directory=folder,
                memory_limit=0,  # whoever runs out of memory is stopped by the system
                silence_logs=logging.CRITICAL,
                preload=[__name__],
            )
        try:
            yield local.scheduler_address
        finally:
            with contextlib.suppress(Exception):
                local.close(timeout=10)


def dask_setup(worker: object) -> None:
    """Have a worker of this machine leave Ctrl-C and messages to the process that it works for.

    Args:
        worker: It.
    """
    del worker
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


@contextlib.contextmanager
def _connected(distributed: Any, address: str, cluster: str | None) -> Iterator[Engine]:
    try:
        client = distributed.Client(address, set_as_default=False, timeout=_SECONDS_TO_CONNECT)
    except (OSError, ValueError, TypeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"--cluster: cannot reach the scheduler {cluster}: {said}") from None
    try:
        try:
            client.wait_for_workers(1, timeout=_SECONDS_TO_FIRST_WORKER)
        except (distributed.TimeoutError, TimeoutError):
            raise RunError(
                f"--cluster: the scheduler {cluster} has had no worker for {_SECONDS_TO_FIRST_WORKER} s; start some: "
                "dask worker"
            ) from None

        def explain(error: BaseException) -> RunError | None:
            if isinstance(error, distributed.scheduler.KilledWorker):
                return RunError(
                    "a task was given up: one worker after the other stopped in the midst of it (out of memory?); what "
                    "was finished is kept"
                )
            lost = (distributed.client.FutureCancelledError, CancelledError, distributed.comm.core.CommClosedError)
            if isinstance(error, lost) or client.status != "running":
                return RunError(f"the scheduler {cluster or address} is gone; what was finished is kept")
            return None

        def size() -> int:
            try:
                return max(1, sum(client.nthreads().values()))
            except Exception as error:
                meaning = explain(error)
                if meaning is None:
                    raise
                raise meaning from None

        executor = client.get_executor(pure=False)
        try:
            yield Engine(executor, size, explain)
        finally:
            executor.shutdown(wait=False)
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=5)


def _address(cluster: str) -> str:
    """The address of a scheduler, from itself or its file."""
    if "://" in cluster:
        return cluster
    path = Path(cluster)
    if not path.exists():
        raise ConfigError(f"--cluster: {cluster}: no such scheduler file, and no address (tcp://HOST:PORT)")
    from xpert.design import read_mapping

    found = read_mapping(path, "scheduler file")
    address = found.get("address")
    if not isinstance(address, str) or "://" not in address:
        raise ConfigError(f"--cluster: {cluster}: not a scheduler file: it has no `address`")
    return address


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within this context the libraries say nothing: what they would say is raised, or mended."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


__all__ = ["HERE", "Engine", "dask_setup", "engine"]
