"""`python -m xpert` is `xpert`."""

from xpert.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
