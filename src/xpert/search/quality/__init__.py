"""Training-free quality of a network: the width law and sizes, which are sums over layers, and scores."""

from xpert.search.quality.additive import Quality, additive_quality
from xpert.search.quality.registry import QUALITIES, LayerSum, Score

__all__ = ["QUALITIES", "LayerSum", "Quality", "Score", "additive_quality"]
