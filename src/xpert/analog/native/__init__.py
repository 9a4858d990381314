"""The inner loop in C (`xpert.native`).

`columns.c` computes the numbers of `xpert.analog.columns` to the bit, many times faster than torch on a CPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from xpert.analog import gaussian
from xpert.analog.grid import Columns
from xpert.native import Code


class _Problem(ctypes.Structure):
    """`struct problem` of columns.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("codes", "conductance", "variance", "start", "base", "lowest")),
        *((name, ctypes.c_void_p) for name in ("levels", "adc", "blocks", "normal", "sigma", "sigma_shift", "out")),
        *((name, ctypes.c_int64) for name in ("code_bytes", "narrow", "out_bytes", "noisy")),
        *((name, ctypes.c_int64) for name in ("groups", "positions", "stride", "rows", "columns", "n_blocks")),
        *((name, ctypes.c_int64) for name in ("input_bits", "adc_bits", "fraction", "n_adcs", "n_levels", "threads")),
        *((name, ctypes.c_uint64) for name in ("key", "first", "multiplier", "weights")),
    )


def _declare(library: ctypes.CDLL) -> None:
    library.summed_readings.argtypes = [ctypes.POINTER(_Problem)]
    library.code_sums.argtypes = [ctypes.c_void_p, *3 * [ctypes.c_int64], ctypes.c_void_p]
    library.code_sums.restype = None


CODE = Code(Path(__file__).with_name("columns.c"), _declare)

LANES = 32
"""Positions that the C code computes together."""


def summed_readings(
    library: ctypes.CDLL, codes: Tensor, columns: Sequence[Columns], input_bits: int, keys: Sequence[int], first: int
) -> Tensor:
    """`xpert.analog.columns.torch_readings`, to the bit, on `torch.get_num_threads()` threads; chip by chip."""
    n_chips, groups, positions, _ = codes.shape
    shared = columns[0]
    n_columns = shared.conductance.shape[1]
    stride = -(-positions // LANES) * LANES
    # Positions run fastest, as in the maps that a convolution ends in.
    out = torch.empty((n_chips, groups, n_columns, stride), dtype=shared.sum_type(input_bits))
    for of_chip in zip(_stored(codes), columns, keys, out, strict=True):
        _read(library, *of_chip, input_bits, first)
    return out[..., :positions].transpose(2, 3)


def _read(
    library: ctypes.CDLL, codes: Tensor, columns: Columns, key: int, out: Tensor, input_bits: int, first: int
) -> None:
    """Readings of one chip, into `out`."""
    groups, positions, rows = codes.shape
    blocks = torch.tensor(columns.blocks, dtype=torch.int64)
    table = torch.tensor(gaussian.TABLE, dtype=torch.int8)
    shifts = columns.sigma_shift.contiguous()
    levels = columns.levels
    problem = _Problem(
        codes=codes.data_ptr(),
        conductance=columns.conductance.data_ptr(),
        variance=None if columns.variance is None else columns.variance.data_ptr(),
        start=columns.start.data_ptr(),
        base=columns.base.data_ptr(),
        lowest=columns.lowest.data_ptr(),
        levels=None if levels is None else levels.data_ptr(),
        adc=None if columns.adc is None else columns.adc.data_ptr(),
        blocks=blocks.data_ptr(),
        normal=table.data_ptr(),
        sigma=columns.sigmas.data_ptr(),
        sigma_shift=shifts.data_ptr(),
        out=out.data_ptr(),
        code_bytes=codes.element_size(),
        narrow=columns.narrow,
        out_bytes=out.element_size(),
        noisy=columns.noisy,
        groups=groups,
        positions=positions,
        stride=out.shape[2],
        rows=rows,
        columns=out.shape[1],
        n_blocks=len(blocks),
        input_bits=input_bits,
        adc_bits=columns.bits,
        fraction=columns.fraction,
        n_adcs=0 if levels is None else levels.shape[2],
        n_levels=0 if levels is None else levels.shape[3],
        threads=torch.get_num_threads(),
        key=key % 2**64,
        first=first,
        multiplier=gaussian.MULTIPLIER,
        weights=gaussian.WEIGHTS[0] | gaussian.WEIGHTS[1] << 8,
    )
    if library.summed_readings(ctypes.byref(problem)):
        raise MemoryError("no memory for the indices of a tile")


def code_sums(library: ctypes.CDLL, codes: Tensor) -> Tensor:
    """`xpert.analog.columns.code_sums`, without a copy of the codes."""
    codes = _stored(codes)
    sums = torch.empty((*codes.shape[:-1], 1), dtype=torch.float64)
    library.code_sums(codes.data_ptr(), codes.element_size(), sums.numel(), codes.shape[-1], sums.data_ptr())
    return sums


def _stored(codes: Tensor) -> Tensor:
    return (codes if codes.dtype == torch.uint8 else codes.int()).contiguous()


__all__ = ["CODE", "code_sums", "summed_readings"]
