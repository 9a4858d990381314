"""VGG for small images: a chain of 3x3 convolutions in five stages.

Convolutions have padding 1, batch norm and ReLU. 2x2 max pooling follows every stage but the last, average pooling of
what is left of the map the last; one linear layer classifies. Every convolution decides for its own channels.
"""

from __future__ import annotations

from dataclasses import replace

from xpert.networks.family import Family, Position, classifier, square_side

_WIDTHS = (64, 128, 256, 512, 512)
"""Output channels of the five stages of every VGG network. Source: Simonyan and Zisserman, ICLR 2015, table 1."""

_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""3x3 convolutions per stage: configurations A, B, D and E of the same table."""


def _positions(name: str, input_shape: tuple[int, int, int]) -> list[Position]:
    stages = _CONVOLUTIONS[name]
    side = square_side(name, input_shape, 2 ** (len(stages) - 1))
    found: list[Position] = []
    for stage, (n_convolutions, width) in enumerate(zip(stages, _WIDTHS, strict=True)):
        for convolution in range(n_convolutions):
            index = len(found)
            # The last one of a stage carries its pooling; the first one of all reads the image.
            optional = index > 0 and convolution < n_convolutions - 1
            found.append(
                Position(f"conv{index + 1}", index - 1, decision=index, width=width, side=side, optional=optional)
            )
        last = stage == len(stages) - 1
        found[-1] = replace(found[-1], pool=side if last else 2, pool_kind="average" if last else "max")
        side //= 2
    return [*found, classifier(len(found) - 1)]


FAMILY = Family(names=tuple(_CONVOLUTIONS), positions=_positions, width_law="vgg")

__all__ = ["FAMILY"]
