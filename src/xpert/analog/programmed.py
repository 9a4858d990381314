"""A layer's weights on chips: what the cells conduct, and the ranges of the ADCs behind them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from xpert.analog.adc import AdcRange, choose_range, fine_range, percentiles
from xpert.analog.cells import Cells, encode, read_groups, row_blocks
from xpert.analog.columns import sum_histogram
from xpert.analog.draws import Draws
from xpert.analog.grid import Columns, Conversion, block_sums, on_grid
from xpert.analog.layout import Layout
from xpert.analog.program import AdcErrors, adc_errors, program
from xpert.analog.unroll import Geometry, unroll_some
from xpert.design import Chip, Periphery
from xpert.errors import ConfigError
from xpert.networks.quantised import InputCode, QuantLayer, QuantLinear

_KEPT_BYTES = 32 << 20
"""Most that a layer keeps of what it prepared for peripheries other than its present one."""

_SMALLEST_SCALE = 2.0**-6
"""Least factor on a learned ADC range."""


class ProgrammedLayer(nn.Module):
    """A quantised layer's weights as they were written to chips, with its own periphery; `AnalogLayer` computes.

    `program` writes weights to a chip, or to several; `calibrate_adcs` gives what ADC ranges are derived from, and
    `set_periphery` changes neither, but puts other ADCs of the same chips behind them. A changed weight takes effect
    with the next `program`. Where none was asked for, a perfectly written chip is there; the tensors that describe it
    are empty until they are needed.

    Args:
        layer: The quantised layer; kept, and read again by `program`. Its precisions become the design's.
        chip: Crossbar, device, mapping and what is simulated.
        periphery: ADC and input precision, and how many columns share an ADC.

    Raises:
        ConfigError: If the layer pads with anything but zeros.
    """

    weights: Tensor
    """Integer weights as they were written [groups, rows, outputs], int16."""

    weight_scale: Tensor
    """What an integer weight of 1 stands for, shape ()."""

    conductance: Tensor
    """Conductance of each cell less that of its reference [chips, groups, rows, slices, outputs]. [level]"""

    read_variance: Tensor
    """Its variance from read to read, of the same shape; empty where there is none. [level^2]"""

    gain: Tensor
    """Factor on what is converted, by which digital outputs make up for drift and IR drop [chips], float64."""

    adc_seed: Tensor
    """Seed of the errors of the ADCs, which follow from it and the periphery [chips], int64; -1: there are none."""

    read_key: Tensor
    """Key of the noise of reads [chips], int64; -1: reads are not noisy."""

    samples: Tensor
    """Float input vectors on which ranges are calibrated [groups, positions, rows]; empty before calibration."""

    adc_scale: nn.Parameter
    """Learned factor on the calibrated ADC range, shape (); only where ranges are learned."""

    def __init__(self, layer: QuantLayer, chip: Chip, periphery: Periphery) -> None:
        super().__init__()
        self.layer = layer
        self.chip = chip.of_layer(periphery.weight_bits, periphery.cell_bits)
        """The chip as this layer sees it, with its precisions of weights and cells."""
        self.periphery = periphery
        self._whole_chip = chip
        self.images_read = 0
        """Images that each of the present chips has read."""
        self.geometry = Geometry.of(layer, chip)
        self._seeds: tuple[int, ...] | None = ()
        """Of what the present chips drew; none for a perfectly written chip, None where chips were read from a file."""
        kernel = math.prod(self.geometry.kernel)
        _, rows, outputs = self.geometry.weight_matrix(layer.weight.detach()).shape
        self.crossbar_blocks = row_blocks(kernel, rows // kernel, chip)
        """First and last-plus-one row of each row block, which has crossbars of its own."""
        self.blocks = read_groups(self.crossbar_blocks, chip)
        """The same of what is read and converted at once."""
        self._outputs = outputs
        self._see_chip()
        self.register_buffer("weights", torch.empty(0, dtype=torch.int16))
        self.register_buffer("weight_scale", torch.empty(()))
        for name in ("conductance", "read_variance", "samples"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("read_key", torch.tensor([-1]))
        self.register_buffer("adc_seed", torch.tensor([-1]))
        self.register_buffer("gain", torch.ones(1, dtype=torch.float64))
        if chip.analog.adc_range == "learned":
            self.adc_scale = nn.Parameter(torch.ones(()))
        self._forget()
        self.set_periphery(periphery)
        self._take_weights()

    def _see_chip(self) -> None:
        """What follows from the precisions of weights and cells."""
        self.code, self.layout = self.chip.weight_code, Layout.of(self._outputs, self.chip)

    @property
    def adc_bits(self) -> int:
        """ADC precision. [bit]."""
        return self.periphery.adc_bits

    @property
    def input_bits(self) -> int:
        """Input precision. [bit]."""
        return self.periphery.input_bits

    @property
    def is_convolution(self) -> bool:
        """Whether the layer is a convolution, and its inputs and outputs are maps."""
        return not isinstance(self.layer, QuantLinear)

    @property
    def _axes(self) -> int:
        """Axes of an input map with its channels."""
        return self.layer.weight.dim() - 1

    @property
    def signed_input(self) -> bool:
        """Whether inputs can be negative."""
        return self.layer.signed_input

    @property
    def pulses(self) -> int:
        """Unit pulses of the largest input: what a row counts for in a read. 1 where inputs are read bit by bit."""
        return 2**self.input_bits - 1 if self.chip.input_coding == "pulse_width" else 1

    def input_code(self, x: Tensor, input_bits: int | None = None) -> InputCode:
        """Inputs as unsigned integers, at the layer's precision by default; see `QuantConv2d.input_code`."""
        return self.layer.input_code(x, input_bits)

    def set_periphery(self, periphery: Periphery) -> None:
        """Change the periphery; chips and the calibration samples stay.

        With other precisions of weights or cells the layer's present weights are on the same chips in other cells:
        these draw what they would have drawn if they had been written so.

        What was prepared for the last ones is kept, as far as memory allows: designs that are measured in turn differ
        in few layers.

        Raises:
            ConfigError: If the chip cannot hold such weights.
        """
        chip = self._whole_chip.of_layer(periphery.weight_bits, periphery.cell_bits)
        if self._ready is not None and self.chip.analog.adc_range != "learned":
            self._kept[self.periphery] = self._range, self._ready, self._correction
        self.periphery = periphery
        twos_complement = chip.analog.signed_inputs == "twos_complement"
        self.layer.set_precision(chip.weight_bits, self.input_bits, twos_complement)
        if _bits(chip) != _bits(self.chip):
            self._rewrite(chip)
        self._range, self._ready, self._correction = self._kept.pop(periphery, (None, None, None))
        while sum(_bytes(ready) for _, ready, _ in self._kept.values()) > _KEPT_BYTES:
            del self._kept[next(iter(self._kept))]  # the oldest

    def _rewrite(self, chip: Chip) -> None:
        """Hold the weights at other precisions of weights or cells, on the same chips."""
        if self.conductance.numel():
            held = {name: getattr(self, name) for name in _WRITTEN}
            self._programs[_bits(self.chip)] = held, self._histograms
            while sum(sum(part.nbytes for part in held.values()) for held, _ in self._programs.values()) > _KEPT_BYTES:
                if len(self._programs) == 1 or self._seeds is None:
                    break  # the last is likely the next, and what was read from a file cannot be written again
                del self._programs[next(iter(self._programs))]  # the oldest
        self.chip = chip
        self._see_chip()
        held, self._histograms = self._programs.pop(_bits(chip), ({}, {}))
        if not held:
            weights, scale = self._integer_weights()
            empty = self.conductance.new_empty(0)
            held = {"weights": weights, "weight_scale": scale, "conductance": empty, "read_variance": empty}
        for name, tensor in held.items():
            setattr(self, name, tensor)

    @property
    def n_chips(self) -> int:
        """Chips that hold the layer."""
        return len(self.read_key)

    def program(self, *generators: torch.Generator) -> None:
        """Write the layer's present weights to new chips.

        Args:
            *generators: One per chip, the source of all that is random on it. Without any there is one chip, written
                perfectly, and nothing is random.
        """
        self._take_weights()
        draws = [Draws(generator) for generator in generators]
        self._seeds = tuple(of_chip.seed for of_chip in draws)
        self._write(draws)
        self.images_read = 0
        self._read_anew()

    def _write(self, draws: list[Draws]) -> None:
        cells, device = encode(self.weights, self.code), self.weights.device
        written = [self._written(cells, of_chip) for of_chip in draws or [None]]
        for name in written[0]:
            setattr(self, name, torch.stack([chip[name] for chip in written]).to(device))
        if "read_variance" not in written[0]:
            self.read_variance = torch.empty(0, device=device)

    def _take_weights(self) -> None:
        """Take over the layer's present weights as integers."""
        weights, scale = self._integer_weights()
        if not torch.equal(weights, self.weights):
            self.weights = weights
            self._forget()
        self.weight_scale = scale

    def _integer_weights(self) -> tuple[Tensor, Tensor]:
        """The layer's present weights as integers, [groups, rows, outputs], and what 1 stands for."""
        integer = self.layer.integer_weight()
        return self.geometry.weight_matrix(integer.value).short(), integer.scale

    def _need_chip(self) -> None:
        """Write the chips that are there, or a perfect one if none was asked for: only now, since it may take long."""
        if self.conductance.numel():
            return
        if self._seeds is None:
            raise ConfigError("chips that were read from a file hold weights at the precisions of that file only")
        self._write([Draws(seed) for seed in self._seeds])

    def _written(self, cells: Cells, draws: Draws | None) -> dict[str, Tensor]:
        """The buffers that describe one chip, without those that are empty."""
        conductance, variance, gain = program(cells, self.chip, self.layout, self.crossbar_blocks, draws)
        errs = draws is not None and self.chip.analog.adcs_differ
        noisy = draws is not None and (variance is not None or self._adc_noise > 0)
        buffers = {
            "conductance": conductance,
            "read_variance": variance,
            "gain": torch.tensor(gain, dtype=torch.float64),
            "adc_seed": torch.tensor(draws.seed if draws is not None and errs else -1),
            "read_key": torch.tensor(draws.read_key if draws is not None and noisy else -1),
        }
        return {name: buffer for name, buffer in buffers.items() if buffer is not None}

    def _adc_errors(self, chip: int) -> AdcErrors:
        """Errors of a chip's ADCs at the present periphery."""
        seed = int(self.adc_seed[chip])
        draws = Draws(seed) if seed >= 0 else None
        return adc_errors(self.chip, self.layout, self.crossbar_blocks, len(self.weights), self.periphery, draws)

    @property
    def _adc_noise(self) -> float:
        """Standard deviation of a conversion's own noise. [step]."""
        analog = self.chip.analog
        return 0.0 if analog.adc_range == "unbounded" else analog.adc_noise

    def calibrate_adcs(self, samples: Tensor) -> None:
        """Keep typical inputs, from which calibrated ADC ranges of any precision follow.

        Args:
            samples: Float input vectors [groups, positions, rows], as from `sample_inputs`.
        """
        self.samples = samples
        self._forget()

    def sample_inputs(self, x: Tensor, positions: int) -> Tensor:
        """At most `positions` of the vectors that an input sends to the crossbars: [groups, positions, rows], float."""
        return unroll_some(self.geometry.windows(self.as_maps(x), 0.0), positions)

    @property
    def adc_range(self) -> AdcRange:
        """Range and steps of the ADCs at the present precision; where there are none, steps too fine to matter.

        Raises:
            ConfigError: If the range is to be calibrated and there are no samples.
        """
        if self._range is None:
            mode, rows = self.chip.analog.adc_range, self.chip.read_rows * self.pulses
            possible = wanted = [(rows * low, rows * high) for low, high in self.code.limits]
            if mode == "unbounded":
                self._range = fine_range(possible)
                return self._range
            if mode != "full_scale":
                counts, lowest = self._histogram()
                wanted = [percentiles(of_slice, lowest, self.chip.analog.adc_tail) for of_slice in counts]
            self._range = choose_range(wanted, possible, self.adc_bits, self.chip.device.cell_bits)
        if self.chip.analog.adc_range == "learned":
            return replace(self._range, unit=self._range.unit * max(self.adc_scale.item(), _SMALLEST_SCALE))
        return self._range

    @property
    def lossless(self) -> bool:
        """Whether ADCs pass every column sum that can occur on these chips unchanged."""
        self._need_chip()
        if self.noisy or int(self.adc_seed[0]) >= 0:
            return False
        if self.chip.analog.adc_range == "unbounded":
            return True
        if not torch.equal(self.conductance, self.conductance.round()):
            return False
        cells = self.conductance.flatten(0, 1)
        lows = block_sums(cells.clamp_max(0), self.blocks).amin(dim=(0, 1, 3)) * self.pulses
        highs = block_sums(cells.clamp_min(0), self.blocks).amax(dim=(0, 1, 3)) * self.pulses
        return self.adc_range.lossless(lows.tolist(), highs.tolist())

    @property
    def noisy(self) -> bool:
        """Whether reads are noisy, which they are on all chips or none."""
        return int(self.read_key[0]) >= 0

    @property
    def twos_complement(self) -> bool:
        """Whether the highest bit of an input counts negative."""
        return self.signed_input and self.chip.analog.signed_inputs == "twos_complement"

    def windows(self, codes: Tensor, zero: int) -> Tensor:
        """All kernel windows of input codes, see `Geometry.windows`; padding is the code `zero`."""
        return self.geometry.windows(self.as_maps(self.stored(codes)), zero)

    def stored(self, codes: Tensor) -> Tensor:
        """Codes in the narrowest type that holds them."""
        return codes.to(torch.uint8) if self.input_bits <= 8 else codes

    def like_output(self, maps: Tensor, x: Tensor) -> Tensor:
        """Outputs [n, outputs, height, width] in the shape that the layer gives for an input x."""
        maps = maps.to(self.layer.weight.dtype)
        if not self.is_convolution:
            return maps.reshape(*x.shape[:-1], -1)
        maps = self.geometry.arranged(maps, *self.as_maps(x).shape[2:])
        return maps.reshape(*x.shape[: -self._axes], maps.shape[1], *maps.shape[4 - self._axes + 1 :])

    def prepared(self) -> Tensor | list[Columns]:
        """Columns of each chip; or, where nothing is converted, weights [chips, groups, rows, outputs]."""
        learned = self.adc_scale.item() if self.chip.analog.adc_range == "learned" else 1.0
        if self._ready is None or learned != self._ready_scale:
            self._ready_scale, self._correction = learned, None
            if self.lossless:
                significance = torch.tensor(self.code.significance, dtype=torch.float64, device=self.weights.device)
                self._ready = torch.einsum("cgrso,s->cgro", self.conductance.double(), significance)
            else:
                self._ready = [on_grid(*self.in_steps(chip), self.blocks) for chip in range(self.n_chips)]
        return self._ready

    def in_steps(self, chip: int) -> tuple[Tensor, Conversion]:
        """A chip's conductances in ADC steps [groups, rows, slices * outputs], and what converts their sums."""
        self._need_chip()
        adc, conductance = self.adc_range, self.conductance[chip]
        steps = torch.tensor(adc.steps, device=conductance.device).unsqueeze(1)
        in_steps = (conductance / steps).flatten(2)
        variance = (self.read_variance[chip] / steps.square()).flatten(2) if self.read_variance.numel() else None
        device, errors = conductance.device, self._adc_errors(chip)
        if errors.gain is not None:
            for gain, (start, stop) in zip(errors.gain.to(device), self.blocks):
                in_steps[:, start:stop] *= 1 + gain.unsqueeze(1)
                if variance is not None:
                    variance[:, start:stop] *= (1 + gain.unsqueeze(1)).square()
        lowest = torch.tensor(adc.lowest, dtype=torch.float32, device=device)
        offset, levels = (None if part is None else part.to(device) for part in (errors.offset, errors.levels))
        conversion = Conversion(
            lowest=lowest.repeat_interleave(conductance.shape[3]),
            bits=adc.bits,
            offset=offset,
            variance=variance,
            floor=self._adc_noise**2 if self.noisy else 0.0,
            pulses=self.pulses,
            levels=levels,
            adc=None if levels is None else self.layout.adc(self.periphery.columns_per_adc).flatten().to(device),
        )
        return in_steps, conversion

    def _histogram(self) -> tuple[Tensor, int]:
        """Counts of nominal column sums on the samples at the present input precision; see `sum_histogram`."""
        bits, pulses = self.input_bits, self.pulses
        if bits not in self._histograms:
            if not self.samples.numel():
                raise ConfigError("a calibrated ADC range needs calibration images")
            codes = self.input_code(self.samples).value
            if self.twos_complement:
                codes = codes ^ (1 << (bits - 1))
            nominal, cycles = encode(self.weights, self.code).nominal, bits if pulses == 1 else 1
            self._histograms[bits] = sum_histogram(codes, nominal, self.blocks, cycles, pulses)
        return self._histograms[bits]

    def as_maps(self, x: Tensor) -> Tensor:
        """A linear layer's input [..., features] as maps of one pixel; a convolution's with a batch axis, in 2-d."""
        if not self.is_convolution:
            return x.reshape(-1, x.shape[-1], 1, 1)
        return x.reshape(-1, x.shape[-self._axes], 1 if self._axes == 2 else x.shape[-2], x.shape[-1])

    def _forget(self) -> None:
        """Drop what was derived from weights, conductances and samples."""
        self._histograms: dict[int, tuple[Tensor, int]] = {}
        self._range: AdcRange | None = None
        self._read_anew()

    def _read_anew(self) -> None:
        """Drop what reads are done with."""
        self._ready: Tensor | list[Columns] | None = None
        self._ready_scale = 1.0
        """Factor on the range that it was made for."""
        self._correction: Tensor | None = None
        """What compensates the ADCs' offsets, see `AnalogLayer`."""
        self._kept: dict[Periphery, tuple[AdcRange | None, Tensor | list[Columns], Tensor | None]] = {}
        """The same of other peripheries."""
        self._programs: dict[tuple[int, int], tuple[dict[str, Tensor], dict[int, tuple[Tensor, int]]]] = {}
        """The weights as written at other precisions of weights and cells, with their histograms."""

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self._forget()  # it would not move along
        return super()._apply(fn, recurse)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        self._need_chip()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any, **options: Any) -> None:
        # What a chip has, read noise for example, decides the shapes of its tensors.
        for name, own in list(self._buffers.items()):
            given = state_dict.get(prefix + name)
            if own is not None and given is not None and given.shape != own.shape:
                self._buffers[name] = own.new_empty(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments, **options)
        self.images_read = 0
        self._seeds = None
        self._forget()


_WRITTEN = ("weights", "weight_scale", "conductance", "read_variance", "gain")
"""Buffers that depend on the precisions of weights and cells."""


def _bits(chip: Chip) -> tuple[int, int]:
    """Precision of weights, and bits of a cell."""
    return chip.weight_bits, chip.device.cell_bits


def _bytes(ready: Tensor | list[Columns]) -> int:
    """Memory of what `prepared` gives, but for what is small."""
    if isinstance(ready, Tensor):
        return ready.nbytes
    return sum(part.nbytes for one in ready for part in (one.conductance, one.variance) if part is not None)


__all__ = ["ProgrammedLayer"]
