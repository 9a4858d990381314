"""Everything XPert raises on purpose.

::

    XpertError
    ├── ConfigError (ValueError)      a config, design, device or flag is wrong
    ├── DataError (ValueError)        a data set, weight file or reference file is missing or broken
    ├── InfeasibleError (ValueError)  no design meets the constraints
    └── RunError (RuntimeError)       a run folder cannot be used

The command line turns each into one line on stderr, or one for each problem of a file, and exit code 2. A message says
what was given, where, and what is allowed.
"""


class XpertError(Exception):
    """Base of all errors that a user can cause and mend."""

    problems: tuple[str, ...] = ()
    """All that is wrong, a line each, where the message has room for the first alone."""


class ConfigError(XpertError, ValueError):
    """A config, design, device file or flag holds something that is not allowed."""


class DataError(XpertError, ValueError):
    """A data set, weight file or reference file is missing, truncated or of the wrong kind."""


class InfeasibleError(XpertError, ValueError):
    """No design of the search space meets the constraints."""


class RunError(XpertError, RuntimeError):
    """A run folder cannot be used as asked."""


__all__ = ["ConfigError", "DataError", "InfeasibleError", "RunError", "XpertError"]
