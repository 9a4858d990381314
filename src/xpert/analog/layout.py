"""Where a layer's outputs lie in its crossbars: what shares a reference column, a row's wire, an ADC."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xpert.design import Chip


@dataclass(frozen=True)
class Layout:
    """Columns of the crossbars of one row block and group.

    From the drivers on: one output after the other, each with its slices, least significant first. The two columns of
    a pair are neighbours. Reference columns, one per slice where there are any, are extra columns in the middle, where
    they are as far from the drivers as the others are on average. What is converted is one difference per slice and
    output; `columns_per_adc` of these, in their order, share an ADC.
    """

    outputs: int
    """Outputs of a group."""

    slices: int
    """Weight slices."""

    paired: bool
    """Whether each slice has two columns of its own, or one and a share of the reference column."""

    per_crossbar: int
    """Outputs in a crossbar."""

    @classmethod
    def of(cls, outputs: int, chip: Chip) -> Layout:
        """The layout of a chip."""
        code = chip.weight_code
        return cls(outputs, code.slices, code.paired, chip.columns // code.columns_per_weight)

    @property
    def crossbars(self) -> int:
        """Crossbars side by side."""
        return -(-self.outputs // self.per_crossbar)

    @property
    def in_crossbar(self) -> int:
        """Outputs for which a crossbar has columns that are used, at most."""
        return min(self.outputs, self.per_crossbar)

    @property
    def _middle(self) -> int:
        """Outputs of a crossbar before the reference columns."""
        return self.in_crossbar // 2

    def spread(self, reference: Tensor) -> Tensor:
        """Each crossbar's reference [..., crossbars] for each of its outputs [..., outputs]."""
        return reference.repeat_interleave(self.per_crossbar, dim=-1)[..., : self.outputs]

    def arrange(self, data: Tensor, reference: Tensor) -> Tensor:
        """Columns as they lie in the crossbars; cells that are not there conduct nothing.

        Args:
            data: [groups, rows, slices, outputs].
            reference: Of pairs: as `data`; else [groups, rows, slices, crossbars].

        Returns:
            [groups, crossbars, rows, columns].
        """
        columns = self._by_crossbar(data)
        if self.paired:
            return torch.stack([columns, self._by_crossbar(reference)], dim=-1).flatten(3)
        before, after = columns.tensor_split([self._middle], dim=3)
        return torch.cat([before.flatten(3), reference.permute(0, 3, 1, 2), after.flatten(3)], dim=3)

    def take_apart(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Data and reference from columns as they lie in the crossbars: the inverse of `arrange`."""
        if self.paired:
            pairs = columns.unflatten(3, (self.in_crossbar, self.slices, 2))
            return self._by_output(pairs[..., 0]), self._by_output(pairs[..., 1])
        first = self._middle * self.slices
        before, reference, after = columns.tensor_split([first, first + self.slices], dim=3)
        data = torch.cat([before, after], dim=3).unflatten(3, (self.in_crossbar, self.slices))
        return self._by_output(data), reference.permute(0, 2, 3, 1)

    def adc(self, columns_per_adc: int) -> Tensor:
        """Number of the ADC, among those of a row block and group, that converts each slice and output.

        Returns:
            [slices, outputs], int64, from 0 to `adcs(columns_per_adc) - 1`.
        """
        number = torch.arange(self.outputs)
        crossbar, place = number // self.per_crossbar, number % self.per_crossbar
        converted = place * self.slices + torch.arange(self.slices)[:, None]
        return crossbar * self._adcs_of_crossbar(columns_per_adc) + converted // columns_per_adc

    def adcs(self, columns_per_adc: int) -> int:
        """ADCs of a row block and group."""
        return self.crossbars * self._adcs_of_crossbar(columns_per_adc)

    def _adcs_of_crossbar(self, columns_per_adc: int) -> int:
        return -(-self.per_crossbar * self.slices // columns_per_adc)

    def _by_crossbar(self, data: Tensor) -> Tensor:
        """[groups, rows, slices, outputs] to [groups, crossbars, rows, outputs of a crossbar, slices]."""
        missing = self.crossbars * self.in_crossbar - self.outputs
        padded = torch.nn.functional.pad(data, (0, missing))
        return padded.unflatten(3, (self.crossbars, self.in_crossbar)).permute(0, 3, 1, 4, 2)

    def _by_output(self, columns: Tensor) -> Tensor:
        """The inverse of `_by_crossbar`."""
        return columns.permute(0, 2, 4, 1, 3).flatten(3)[..., : self.outputs]


__all__ = ["Layout"]
