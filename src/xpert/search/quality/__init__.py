"""Training-free quality of a network: the width law and sizes, which are sums over layers, and scores."""

from xpert.search.quality.additive import ADDITIVE, Quality, additive_quality

SEARCHABLE = (*ADDITIVE, "naswot", "swap", "expressivity", "synflow", "zico")
"""What a search may hold up: all qualities that are sums over layers, and the scores that are worth their time."""

__all__ = ["ADDITIVE", "SEARCHABLE", "Quality", "additive_quality"]
