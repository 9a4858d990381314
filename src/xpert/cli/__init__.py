"""The command line: it translates arguments into library calls, and results into text. See `xpert --help`.

Only `main` is here, and it imports the rest when it is called, so that Ctrl-C is answered from the first moment on.
"""

import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command and its arguments, without the program's name; None takes this process's.

    Returns:
        The exit code: 0 done, 1 a check failed, 2 bad input, 130 interrupted.
    """
    # Threads that spin while they wait take cores away from busy machines; torch reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from xpert.cli.interrupts import interrupts_deferred

        with interrupts_deferred():
            from xpert.cli.app import run
        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt as interruption:
        from xpert.cli.interrupts import report_interrupt

        report_interrupt(*interruption.args)
        return 130


__all__ = ["main"]
