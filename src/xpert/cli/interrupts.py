"""Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any


class Interrupted(Exception):
    """Ctrl-C in a command that can say how to go on; typer would drop the words from a KeyboardInterrupt."""


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Answer Ctrl-C when the block ends; for imports, in the midst of which Python may lose the exception."""
    pressed = False

    def note(*_: Any) -> None:
        nonlocal pressed
        pressed = True

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, as by nohup, or someone else's
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def report_interrupt(*notes: str) -> None:
    """Say in one line on stderr that the command was interrupted, and be deaf to further Ctrl-C until the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    after_the_echo = "\n" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{after_the_echo}xpert: {'; '.join(('interrupted', *notes))}\n")
