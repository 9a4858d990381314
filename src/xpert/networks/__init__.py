"""Backbones as search spaces, and the modules that they build.

`xpert.networks.spaces` needs no torch; the rest is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpert.networks.spaces import Space, space

if TYPE_CHECKING:
    from xpert.networks.modules import build


def __getattr__(name: str) -> Any:
    if name == "build":
        from xpert.networks.modules import build

        return build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Space", "build", "space"]
