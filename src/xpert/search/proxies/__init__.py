"""Training-free scores: what stands in for accuracy before anything is trained."""

from xpert.search.proxies.naswot import naswot

__all__ = ["naswot"]
