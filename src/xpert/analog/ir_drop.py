"""The voltage that wires, drivers and sense amplifiers take: crossbars as exact resistive networks.

Cells are linear, so that what arrives at the foot of a column is a linear function of the voltages on the rows: the
currents are those of a crossbar without resistances whose cells have an *effective* conductance. It is found once per
programmed crossbar; inference then costs nothing more.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from xpert.design import Chip
from xpert.hardware.technology import process_of

_CELLS = 1 << 18
"""Cells of the crossbars that are solved at a time."""


@dataclass(frozen=True)
class Wires:
    """Resistances of a crossbar. [ohm]"""

    row: float
    """Wire of a row, per cell; the first piece lies between driver and first cell."""

    column: float
    """Wire of a column, per cell; the last piece lies between last cell and sense amplifier."""

    driver: float = 0.0
    """Driver of a row."""

    sense: float = 0.0
    """Sense amplifier of a column."""

    access: float = 0.0
    """In series with every cell."""

    @classmethod
    def of(cls, chip: Chip) -> Wires:
        """Those of a chip. A wire that is not given is as long per cell as the cell is wide or high."""
        analog, device, technology = chip.analog, chip.device, process_of(chip.technology)
        unit = technology.wire_width if device.access == "crosspoint" else technology.feature
        row, column = analog.row_wire_ohm, analog.column_wire_ohm
        if row is None:
            row = device.cell_width_f * unit * technology.wire_resistance
        if column is None:
            column = device.cell_height_f * unit * technology.wire_resistance
        return cls(row, column, analog.driver_ohm, analog.sense_ohm, chip.device.access_resistance_ohm)


def effective_conductance(conductance: Tensor, wires: Wires) -> Tensor:
    """Conductance with which the voltage at a row's driver drives the current into a column's sense amplifier.

    Drivers are at the first column, sense amplifiers below the last row; undriven rows are held at 0 V. The network is
    eliminated column by column, from the far end of the rows to the drivers. With the diagonal matrix G of a column's
    cells (access resistance included) and the resistances Z that its cells share on the way to ground,

        Z[i, k] = sense + column * (rows - max(i, k)),     S = (1/G + Z)^-1 = D (1 + D Z D)^-1 D,     D = sqrt(G),

    the column draws the currents S u at the voltages u of its row nodes; Y = S + Y' P' is the admittance of it and all
    that follows, P = (1 + R Y)^-1 takes the voltages one column further, where R is `row`, for the first column
    `driver + row`. The effective conductances of column j are P_0 P_1 ... P_j S_j 1 (all P are symmetric).

    A matrix of n rows and m columns takes about 2 n^3 m multiplications, in float64. Where there are more rows than
    columns it is turned over, which by reciprocity changes nothing: driving the foot of a column sends the same current
    into a row's driver.

    Args:
        conductance: Of the cells [..., rows, columns]. [S]
        wires: Resistances.

    Returns:
        [..., rows, columns], float64. [S]
    """
    rows, columns = conductance.shape[-2:]
    if rows > columns:
        turned = Wires(wires.column, wires.row, driver=wires.sense, sense=wires.driver, access=wires.access)
        # The drivers' end, the first column, becomes the feet's end, the last row; and the other way round.
        return effective_conductance(conductance.flip(-2, -1).mT, turned).mT.flip(-2, -1)
    flat = conductance.double().reshape(-1, rows, columns)
    if not len(flat):
        return flat.reshape(conductance.shape)
    count = max(1, _CELLS // (rows * columns))
    return torch.cat([_CACHE.solved(part, wires) for part in flat.split(count)]).reshape(conductance.shape)


class _SolvedCrossbars:
    """Crossbars that were solved lately. A search measures many precisions on the same chips.

    They are found by a hash of their conductances, and the oldest are forgotten beyond `_CACHE_BYTES`.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[bytes, Wires], Tensor] = OrderedDict()
        self._bytes = 0

    def solved(self, conductance: Tensor, wires: Wires) -> Tensor:
        """`_solved`, remembered."""
        data = conductance.cpu().contiguous()
        digest = hashlib.blake2b(repr(data.shape).encode(), digest_size=32)
        digest.update(data.numpy().tobytes())
        key = digest.digest(), wires
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key].to(conductance.device)
        result = _solved(conductance, wires)
        self._found[key] = result.cpu()
        self._bytes += result.nbytes
        while self._bytes > _CACHE_BYTES and len(self._found) > 1:
            self._bytes -= self._found.popitem(last=False)[1].nbytes
        return result


_CACHE_BYTES = 256 << 20
_CACHE = _SolvedCrossbars()


def _solved(conductance: Tensor, wires: Wires) -> Tensor:
    """`effective_conductance` of [crossbars, rows, columns]."""
    n, rows, columns = conductance.shape
    # [columns, crossbars, rows]: columns are eliminated one by one.
    cells = (conductance / (1 + conductance * wires.access)).permute(2, 0, 1).contiguous()
    passed, back = _along_columns(cells, wires)
    unit = torch.eye(rows, device=cells.device, dtype=cells.dtype)
    admittance = torch.zeros((n, rows, rows), device=cells.device, dtype=cells.dtype)
    # Columns already passed, seen from the present one: what becomes of their effective conductances.
    found = torch.zeros((n, rows, 0), device=cells.device, dtype=cells.dtype)
    for column in range(columns - 1, -1, -1):
        of_column, share = cells[column], passed[column]  # [crossbars, rows], [crossbars, rows + 1]
        # The matrix -S below its diagonal, which is what its rows drive into each other: [crossbars, rows, rows].
        between = (share[:, :-1].unsqueeze(2) - share[:, :-1].unsqueeze(1)).exp_()
        between.mul_(of_column.unsqueeze(1)).mul_((of_column * back[column]).unsqueeze(2)).tril_(-1)
        between = between + between.mT
        # What reaches the foot, the sum of each row of S: [crossbars, rows].
        foot = of_column * (share[:, -1:] - share[:, :-1]).exp_()
        admittance.sub_(between).diagonal(dim1=1, dim2=2).add_(between.sum(dim=2)).add_(foot)
        resistance = wires.row + (wires.driver if column == 0 else 0.0)
        further = torch.cholesky_inverse(torch.linalg.cholesky(torch.add(unit, admittance, alpha=resistance)))
        # One column more in front: [crossbars, rows, columns passed].
        found = torch.bmm(further, torch.cat([foot.unsqueeze(2), found], dim=2))
        if column:
            beyond = torch.bmm(further, admittance)
            admittance = (beyond + beyond.mT).div_(2)
    return found


def _along_columns(cells: Tensor, wires: Wires) -> tuple[Tensor, Tensor]:
    """What columns do to currents on their way down, of which S follows without an inversion.

    With the rows at 1 V and its node held at 0 V, a cell gets the current y from itself and the cells above. The piece
    of wire below it, of resistance r, passes on the share f = 1 / (1 + r y), and so of every row's current x:

        x_k[i] = G_i f_i f_(i+1) ... f_(k-1),      y_k = sum over i <= k of x_k[i] = f_(k-1) y_(k-1) + G_k

    The voltage r f x across the piece drives r f x_i x_j from row i into row j, for all i, j above. Summed over all
    pieces below cell k, the lower of two rows, this is

        -S[i, k] = x_k[i] G_k w_k,     w_k = f_k (r_k + f_k w_(k+1)),     for i < k

    and the foot gets x[i] after the last piece: the sum of row i of S. All numbers are positive, so that no digits are
    lost. Products of shares are kept as logarithms: over many cells they would leave the range of numbers.

    Args:
        cells: Conductances [columns, crossbars, rows].
        wires: Resistances.

    Returns:
        Logarithm of f_0 f_1 ... f_(k-1), [columns, crossbars, rows + 1], and w, [columns, crossbars, rows].
    """
    rows = cells.shape[2]
    pieces = [wires.column] * (rows - 1) + [wires.column + wires.sense]
    passed = cells.new_zeros((*cells.shape[:2], rows + 1))
    shares, back = torch.empty_like(cells), torch.empty_like(cells)
    arrived = torch.zeros_like(cells[..., 0])
    for k, piece in enumerate(pieces):
        arrived = arrived + cells[..., k]
        shares[..., k] = 1 / (1 + piece * arrived)
        passed[..., k + 1] = passed[..., k] - torch.log1p(piece * arrived)
        arrived = arrived * shares[..., k]
    of_next = torch.zeros_like(arrived)
    for k in reversed(range(rows)):
        of_next = shares[..., k] * (pieces[k] + shares[..., k] * of_next)
        back[..., k] = of_next
    return passed, back


__all__ = ["Wires", "effective_conductance"]
