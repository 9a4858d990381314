"""ResNet for small images: a 3x3 stem and stages of basic blocks.

The first block of every later stage has stride 2 and a 1x1 projection as its shortcut; a global average and one linear
layer end the network. A stage's blocks end as wide as each other, so they share one channel decision. Within a block
the width is free, and 0 leaves the block out: all but those with a projection and the last, which carries the pooling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from xpert.design import Layer, Network
from xpert.networks.family import Family, Position, classifier, square_side

if TYPE_CHECKING:
    from torch import nn

_STAGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "resnet20": ((16, 32, 64), (3, 3, 3)),
    "resnet18": ((64, 128, 256, 512), (2, 2, 2, 2)),
}
"""Output channels and basic blocks of each stage. Source: He et al., CVPR 2016, section 4.2 and table 1."""


def _positions(name: str, input_shape: tuple[int, int, int]) -> list[Position]:
    widths, n_blocks = _STAGES[name]
    side = square_side(name, input_shape, 2 ** (len(widths) - 1))
    found = [Position("conv1", source=-1, decision=0, width=widths[0], side=side)]
    outer, decisions, block = 0, 1, 0  # the decision at the blocks' ends; how many there are so far
    for stage, (width, count) in enumerate(zip(widths, n_blocks, strict=True)):
        for first in range(count):
            block += 1
            entry, stride = len(found) - 1, 1
            projects = stage > 0 and not first
            if projects:
                stride, outer, decisions = 2, decisions, decisions + 1
                shortcut = Position(f"block{block}.shortcut", entry, outer, width, side, kernel=1, stride=2, relu=False)
                found.append(replace(shortcut, in_width_law=False))
            # The last one carries the pooling.
            optional = not projects and block < sum(n_blocks)
            found.append(
                Position(f"block{block}.conv1", entry, decisions, width, side, stride=stride, optional_block=optional)
            )
            decisions += 1
            side //= stride
            found.append(Position(f"block{block}.conv2", len(found) - 1, outer, width, side, residual=True))
    found[-1] = replace(found[-1], pool=side, pool_kind="average")
    return [*found, classifier(len(found) - 1)]


def _assemble(network: Network, layers: Mapping[str, nn.Module]) -> nn.Module:
    from torch import nn

    from xpert.networks.assembly import BasicBlock, with_norm

    *convolutions, linear = network.layers
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for block, members in groupby(convolutions, _block_of):
        parts = OrderedDict(part for layer in members for part in with_norm(layer, layers[layer.name]).items())
        modules |= {block: BasicBlock(parts)} if block else parts
    if convolutions[-1].pool != 1:
        modules["pool"] = nn.AvgPool2d(convolutions[-1].pool)
    modules["flatten"] = nn.Flatten()
    modules[linear.name] = layers[linear.name]
    return nn.Sequential(modules)


def _block_of(layer: Layer) -> str:
    return layer.name.rpartition(".")[0]


FAMILY = Family(names=tuple(_STAGES), positions=_positions, assemble=_assemble)

__all__ = ["FAMILY"]
