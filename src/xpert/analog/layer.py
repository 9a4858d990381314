"""A convolution or linear layer computed on crossbars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from xpert.analog.clip import learned_clip
from xpert.analog.columns import code_sums, summed_readings, unconverted_sums
from xpert.analog.grid import Columns, on_grid
from xpert.analog.programmed import ProgrammedLayer
from xpert.analog.unroll import unroll
from xpert.errors import ConfigError
from xpert.networks.quantised import ROOT, StraightThrough

_HELD_BYTES = 3 << 20
"""Unrolled input codes and sums held at a time on a CPU: a small part of a layer's activations, and within a core's
cache."""

_HELD_ELSEWHERE = 1 << 28
"""The same on other devices, which compute what they are given at a time in parallel."""

_MEASURED = 1 << 10
"""Input vectors on which a chip measures its offsets at a time."""

_HIGHEST_BIT, _MEASURING = 1, 2
"""Added to the noise key: for the highest bit of two's complement, which is converted on its own, and while a chip
measures what its ADCs' offsets do."""


class AnalogLayer(ProgrammedLayer):
    """A quantised layer that computes on crossbars.

    Bias, like everything between layers, is digital; and so is what compensates the offsets of ADCs, which a chip finds
    on the calibration samples when it first computes. The gradient is that of the quantised layer (straight through).

    On several chips an input is that of all of them, the first chip's images first, and each chip computes what it
    would alone.

    Noise of reads is that of the running number of the image since the chip was programmed (`images_read`): it differs
    from image to image, but an image's does not depend on how images are batched.

    Args:
        layer: As for `ProgrammedLayer`, like the rest.
        chip: Crossbar, device, mapping and what is simulated.
        periphery: ADC and input precision, and how many columns share an ADC.

    Raises:
        ConfigError: As `ProgrammedLayer`; when it computes, if torch may shorten float32 products, or chips would get
            different numbers of images.
    """

    bypassed = False
    """Whether the layer computes as the quantised layer, see `as_quantised`."""

    recalled: Tensor | None = None
    """What it gives for its next input, where that is known, see `Recall`."""

    def accumulate(self, codes: Tensor, *, first_chip: int = 0, first: int = 0) -> Tensor:
        """What crossbars, ADCs and digital adders make of input codes, in the place of `sum of weight * code`.

        Args:
            codes: Unsigned integers [chips, groups, positions, rows] below `2**input_bits`; in two's complement
                `code - 2**(input_bits - 1)` is what is meant, and what the weights are multiplied with.
            first_chip: Number of the first chip that they are for.
            first: Running number of the first position, on which the noise of reads depends.

        Returns:
            [chips, groups, positions, outputs], float64.
        """
        bits, chips = self.input_bits, slice(first_chip, first_chip + len(codes))
        ready, scale = self.prepared(), self.gain[chips].reshape(-1, 1, 1, 1)
        if isinstance(ready, Tensor):
            result = self._of_bits(codes, lambda part, cycles, _: unconverted_sums(part, ready[chips], cycles))
        else:
            result, scale = self._readings(codes, ready[chips], chips, first), self.adc_range.unit * scale
            if self.chip.analog.compensates_offsets and int(self.adc_seed[0]) >= 0:
                result -= self._offset_correction(ready)[chips]
        result *= scale  # integers until here, where sums are converted
        if self.code.input_weight:
            zero = (1 << (bits - 1)) * codes.shape[3] if self.twos_complement else 0
            result += (code_sums(codes, bits) - zero) * self.code.input_weight
        return result

    def _of_bits(self, codes: Tensor, convert: Callable[[Tensor, int, int], Tensor]) -> Tensor:
        """What `convert` makes of all bits of the codes, from unsigned codes, their bits and a change of the noise key.

        The highest bit of two's complement is converted on its own, and counts negative.
        """
        bits = self.input_bits
        if not self.twos_complement:
            return convert(codes, bits, 0)
        half = 1 << (bits - 1)
        highest = (codes < half).to(codes.dtype)  # the sign bits: 1 where what is meant is negative
        result = convert(highest, 1, _HIGHEST_BIT).mul_(-half)
        if bits > 1:
            result += convert(codes & (half - 1), bits - 1, 0)
        return result

    def _readings(self, codes: Tensor, columns: list[Columns], chips: slice, first: int, change: int = 0) -> Tensor:
        """Sums of the readings of codes [chips, groups, positions, rows], over bits, row blocks and slices.

        Args:
            codes: As for `accumulate`.
            columns: Of each chip.
            chips: Their numbers.
            first: Running number of the first position.
            change: Added to the key of the noise.

        Returns:
            [chips, groups, positions, outputs], float64; integers, in the `unit` of the ADC range.
        """
        keys, exponents = self.read_key[chips].tolist(), self.adc_range.exponents

        def converted(part: Tensor, input_bits: int, of_bits: int) -> Tensor:
            cycles = input_bits if self.pulses == 1 else 1
            sums = summed_readings(part, columns, cycles, keys=[key + of_bits + change for key in keys], first=first)
            result = torch.zeros((), dtype=torch.float64, device=sums.device)
            # [chips, groups, positions, slices * outputs] -> [chips, groups, outputs, positions] of each slice.
            of_slices = sums.transpose(2, 3).unflatten(2, (len(exponents), -1)).unbind(2)
            for of_slice, significance, exponent in zip(of_slices, self.code.significance, exponents):
                result = torch.add(result, of_slice, alpha=significance * 2.0**exponent)
            return result.transpose(2, 3)

        return self._of_bits(codes, converted)

    def _offset_correction(self, ready: list[Columns]) -> Tensor:
        """What the offsets of the ADCs add to the readings' sums in the mean, as whole numbers.

        Args:
            ready: Columns of all chips.

        Returns:
            [chips, groups, 1, outputs], float64, in the `unit` of the ADC range.
        """
        if self._correction is None:
            with torch.no_grad():
                self._correction = torch.cat([self._mean_shift(chip, one) for chip, one in enumerate(ready)])
        return self._correction

    def _mean_shift(self, chip: int, columns: Columns) -> Tensor:
        """`_offset_correction` of one chip: what it reads of the calibration samples, less that without offsets.

        Where there are no samples it reads an input of zeros. Noise is the same with offsets and without.
        """
        cells, conversion = self.in_steps(chip)
        without = on_grid(cells, replace(conversion, offset=None, levels=None, adc=None), self.blocks)
        groups, rows, _ = self.weights.shape
        samples = self.samples if self.samples.numel() else cells.new_zeros((groups, 1, rows))
        codes, chips = self.stored(self.input_code(samples).value).unsqueeze(0), slice(chip, chip + 1)
        total = torch.zeros((), dtype=torch.float64, device=codes.device)
        for part, first in zip(codes.split(_MEASURED, dim=2), range(0, codes.shape[2], _MEASURED)):
            found, wanted = (self._readings(part, [one], chips, first, _MEASURING) for one in (columns, without))
            total = total + (found - wanted).sum(dim=2, keepdim=True)
        return (total / codes.shape[2]).round_()

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if self.bypassed:
            return self.layer(input)
        if self.recalled is not None:
            self.images_read += len(self.as_maps(input)) // self.n_chips
            return self.recalled
        with torch.no_grad(), torch.autocast(input.device.type, enabled=False):
            output = self._compute(input.float())
        if not torch.is_grad_enabled():
            return output
        differentiable = self.layer.differentiable(input)
        if self.chip.analog.adc_range == "learned" and self.adc_scale.requires_grad:
            differentiable = differentiable + learned_clip(self, input)
        return StraightThrough.apply(differentiable, output)

    def _compute(self, x: Tensor) -> Tensor:
        """The output for a float32 input, shaped as the layer gives it."""
        if torch.get_float32_matmul_precision() != "highest":
            raise ConfigError("analog layers need full float32 products: torch.set_float32_matmul_precision('highest')")
        maps = self.as_maps(x)  # [chips * images, channels, height, width]
        height, width = self.geometry.positions(*maps.shape[2:])  # of the output
        groups, _, outputs = self.weights.shape
        images, left_over = divmod(len(maps), self.n_chips)
        if left_over:
            raise ConfigError(f"{len(maps)} images cannot be shared out evenly to {self.n_chips} chips")
        output = torch.empty((self.n_chips, images, groups, outputs, height * width), device=x.device)
        by_chip = maps.unflatten(0, (self.n_chips, images))
        chips_at_a_time, images_at_a_time = self._at_a_time(maps)
        for chip in range(0, self.n_chips, chips_at_a_time):
            for image in range(0, images, images_at_a_time):
                # Some chips and some of each one's images, [chips, images, ...].
                some = by_chip[chip : chip + chips_at_a_time, image : image + images_at_a_time]
                result = output[chip : chip + chips_at_a_time, image : image + images_at_a_time]
                code = self.input_code(some.flatten(0, 1))
                zero = int(code.zero_point)
                # One vector per image and output position, [groups, chips * images * positions, rows].
                codes = unroll(self.geometry.windows(self.stored(code.value), zero))
                sums = self.accumulate(
                    codes.unflatten(1, (len(some), -1)).transpose(0, 1),  # [chips, groups, images * positions, rows]
                    first_chip=chip,
                    first=(self.images_read + image) * height * width,
                )  # [chips, groups, images * positions, outputs]
                if zero and not self.twos_complement:
                    sums -= zero * self.weights.sum(dim=1, keepdim=True)
                sums *= code.scale.double() * self.weight_scale.double()
                # Positions last, as in maps: [chips, groups, outputs, images, positions]
                of_images = sums.transpose(2, 3).unflatten(3, (some.shape[1], height * width))
                result.copy_(of_images.permute(0, 3, 1, 2, 4))
        self.images_read += images
        output = output.reshape(len(maps), groups * outputs, height, width)
        if self.layer.bias is not None:
            output += self.layer.bias.repeat_interleave(self.geometry.places).reshape(-1, 1, 1)
        return self.like_output(output, x)

    def _at_a_time(self, maps: Tensor) -> tuple[int, int]:
        """How many chips and images of each compute together, of maps [chips * images, channels, height, width].

        One chip and some of its images, or several chips and all of theirs.
        """
        _, rows, outputs = self.weights.shape
        columns = outputs * self.code.slices
        # Codes of one or four bytes, readings of four, sums of eight.
        per_position = self.geometry.groups * (rows * (1 if self.input_bits <= 8 else 4) + 4 * columns + 8 * outputs)
        held = _HELD_BYTES if maps.device.type == "cpu" else _HELD_ELSEWHERE
        most = max(1, held // (per_position * math.prod(self.geometry.positions(*maps.shape[2:]))))
        images = max(1, len(maps) // self.n_chips)

        def evenly(total: int, most: int) -> int:
            return math.ceil(total / math.ceil(total / most))

        return evenly(self.n_chips, max(1, most // images)), evenly(images, most)


def analog_layers(model: nn.Module) -> dict[str, AnalogLayer]:
    """The layers of a model that run on crossbars, by name, in the model's order."""
    return {name or ROOT: module for name, module in model.named_modules() if isinstance(module, AnalogLayer)}


__all__ = ["AnalogLayer", "analog_layers"]
