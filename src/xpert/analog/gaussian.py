"""Standard normal numbers that are a pure function of where they are used.

A number is drawn for each conversion of a column sum: from a key, a position, a row block, an input bit, a group and a
column, with integers alone, so that every implementation and every device gives the same bits:

    (u, v) = 32 bits of a bijective hash of the position, XORed with 32 bits of a hash of all the rest
    4 times: (u, v) = (high half of u * M XOR v XOR round key, low half of u * M)         16-bit words
    z      = sum of WEIGHTS[i] * TABLE[bits 8 i ... 8 i + 6 of w] over i = 0, 1

w is u in columns of even number and v in the next one: two columns share what is hashed. The rounds are those of Philox
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) on words of 16 bits, keyed per pair of columns
and cycle.

The table has 128 entries, odd about its middle. They started as `a * q + b * q**3 + c * q**5` of the quantiles q of
equal shares, with a, b and c such that the second, fourth and sixth moment of z are a normal distribution's, and were
then moved by ones to make up for their rounding. As the weights differ, hardly any of the 2**14 sums coincide. Odd
moments are 0, the variance is 1 (to 3e-6), the kurtosis 3 (7e-4) and the sixth moment 14.9 (15); the distribution
function is within 0.001 of the normal one, the tails beyond 2, 2.5, 3 and 3.5 sigma hold 100, 102, 99 and 105 % of the
normal share, and z never exceeds 4 sigma.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FRACTION = 13
"""A draw of 1.0 is the integer 2**13. [bit]"""

_UPPER_HALF = (
    *(
        1,
        1,
        2,
        2,
        3,
        5,
        6,
        8,
        8,
        10,
        11,
        11,
        12,
        13,
        14,
        14,
        15,
        16,
        16,
        18,
        19,
        21,
        21,
        22,
        23,
        25,
        25,
        26,
        27,
        29,
        29,
    ),
    *(
        31,
        31,
        33,
        33,
        36,
        36,
        37,
        39,
        39,
        39,
        41,
        43,
        45,
        46,
        47,
        49,
        51,
        52,
        53,
        55,
        57,
        61,
        62,
        64,
        66,
        69,
        73,
        74,
        80,
    ),
    *(85, 94, 104, 127),
)

TABLE = tuple(-value for value in reversed(_UPPER_HALF)) + _UPPER_HALF
"""Two of these, 8-bit integers, are weighed and added up to a draw."""

WEIGHTS = (118, 139)
"""Of the entry that a word's lower byte chooses, and of the upper byte's."""

MULTIPLIER = 0xD256 | 1
"""Odd, its bits irregular: the upper half of Philox2x32's."""

_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Steele et al., "Fast splittable pseudorandom number generators" (splitmix64), OOPSLA 2014."""

_MIX3, _MIX4 = 0x85EBCA6B, 0xC2B2AE35
"""The 32-bit finaliser of MurmurHash3 (public domain)."""


def _signed(value: int) -> int:
    """The int64 with the same low 64 bits."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical shift right of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix64(x: Tensor) -> Tensor:
    """A bijection of 64 bits in which every bit of the input moves every bit of the output."""
    x = (x ^ _shifted(x, 30)) * _signed(_MIX1)
    x = (x ^ _shifted(x, 27)) * _signed(_MIX2)
    return x ^ _shifted(x, 31)


def _mix32(x: Tensor) -> Tensor:
    """The same of 32 bits, held in int64."""
    low = (1 << 32) - 1
    x = ((x ^ (x >> 16)) * _MIX3) & low
    x = ((x ^ (x >> 13)) * _MIX4) & low
    return x ^ (x >> 16)


def draw(keys: Sequence[int], positions: Tensor, block: int, input_bits: int, groups: int, columns: int) -> Tensor:
    """Draws for all input bits, groups and columns of a row block.

    Args:
        keys: Any integers; their low 64 bits count.
        positions: Their numbers, int64.
        block: Number of the row block, below 2**15.
        input_bits: At most 16. [bit]
        groups: At most 2**20.
        columns: At most 2**24.

    Returns:
        [keys, groups, input_bits, positions, columns], int32, in units of `2**-FRACTION`.
    """
    device = positions.device
    scrambled = _mix64(torch.tensor([_signed(key + _GOLDEN) for key in keys], device=device)).reshape(-1, 1, 1, 1, 1)
    numbers = positions.reshape(-1, 1)
    high = _mix64(scrambled + (numbers >> 32) * _signed(_GOLDEN))
    at = _mix32((numbers ^ _shifted(high, 32)) & ((1 << 32) - 1))
    group = torch.arange(groups, device=device).reshape(-1, 1, 1, 1) << 24
    bit = torch.arange(input_bits, device=device).reshape(-1, 1, 1) << 44
    pair = torch.arange((columns + 1) // 2, device=device)
    place = pair | bit | group | (block << 49)
    words = [(_shifted(_mix64(place ^ scrambled), 16 * i) & 0xFFFF).int() for i in range(4)]
    u, v = (at & 0xFFFF).int() ^ words[0], (at >> 16).int() ^ words[1]
    for turn in range(4):
        product = u * MULTIPLIER
        u, v = ((product >> 16) & 0xFFFF) ^ v ^ words[(turn + 2) % 4], product & 0xFFFF
    word = torch.stack((u, v), dim=-1).flatten(-2)[..., :columns]
    table = torch.tensor(TABLE, dtype=torch.int32, device=device)
    return WEIGHTS[0] * table[word & 127] + WEIGHTS[1] * table[(word >> 8) & 127]


__all__ = ["FRACTION", "MULTIPLIER", "TABLE", "WEIGHTS", "draw"]
