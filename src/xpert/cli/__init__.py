"""The command line: it translates arguments into library calls, and results into text. See `xpert --help`.

Only `main` is here, and it imports the rest when it is called, so that Ctrl-C is answered from the first moment on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command and its arguments, without the program's name; None takes this process's.

    Returns:
        The exit code: 0 done, 1 a check failed, 2 bad input, 130 interrupted.
    """
    try:
        from xpert.cli.commands import run

        return run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("\nxpert: interrupted\n")
        return 130


__all__ = ["main"]
