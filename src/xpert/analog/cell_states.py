"""What cells conduct: states, programming variation, drift, retention and faults.

Conductances are in levels, `(g_on - g_off) / (2**cell_bits - 1)`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from xpert.analog.draws import Draws
from xpert.design import AnalogSettings, Device, StateDependent


def level_siemens(device: Device) -> float:
    """Distance of neighbouring states. [S]"""
    return (1 / device.r_on_ohm - 1 / device.r_off_ohm) / (2**device.cell_bits - 1)


def pedestal(device: Device, settings: AnalogSettings) -> float:
    """Conductance of the off state. [level]"""
    return (2**device.cell_bits - 1) / (device.on_off_ratio - 1) if settings.finite_on_off else 0.0


def largest(device: Device, settings: AnalogSettings) -> float:
    """Conductance of the on state. [level]"""
    return pedestal(device, settings) + 2**device.cell_bits - 1


def state_conductance(codes: Tensor, device: Device, settings: AnalogSettings) -> Tensor:
    """Mean conductance of cells that store these codes, float64. [level]"""
    if device.programming_states is None:
        return codes.double() + pedestal(device, settings)
    level = level_siemens(device)
    means = torch.tensor([state.mean_us for state in device.programming_states], dtype=torch.float64) * (1e-6 / level)
    if not settings.finite_on_off:
        means = (means - 1 / (device.r_off_ohm * level)).clamp_min(0)
    return means.to(codes.device)[codes.long()]


def by_state(value: StateDependent, relative: Tensor, *, power_law: bool = False) -> Tensor:
    """A figure that depends on the conductance.

    Between two points it is a line in the logarithm of the conductance, or a power law; beyond the last ones constant.

    Args:
        value: One for all conductances, or points.
        relative: Conductance over that of the on state.
        power_law: Whether the value's logarithm is a line, too.

    Returns:
        As `relative`, float64.
    """
    if not isinstance(value, tuple):
        return torch.full_like(relative, value)
    points = [(math.log(x), math.log(y) if power_law else y) for x, y in value]
    logarithm = relative.clamp_min(value[0][0]).log_()
    found = torch.full_like(relative, points[0][1])
    for (start, first), (stop, second) in pairwise(points):
        slope = (second - first) / (stop - start)
        found += (logarithm.clamp(start, stop) - start) * slope
    return found.exp_() if power_law else found


def _of_codes(value: StateDependent, codes: Tensor, device: Device, settings: AnalogSettings) -> Tensor:
    """A figure by the state that cells are to be in; a scalar where it is the same for all."""
    if not isinstance(value, tuple):
        return torch.full((), value, dtype=torch.float64, device=codes.device)
    states = torch.arange(2**device.cell_bits, device=codes.device)
    relative = state_conductance(states, device, settings) / largest(device, settings)
    return by_state(value, relative)[codes.long()]


def programming_spread(codes: Tensor, conductance: Tensor, device: Device, settings: AnalogSettings) -> Tensor:
    """Standard deviation of programmed conductances.

    A table of states where the device has one, else a polynomial, else a proportional and an absolute part.

    Args:
        codes: What the cells store.
        conductance: Their mean conductance. [level]
        device: The cell.
        settings: For the on state's conductance.

    Returns:
        float64. [level]
    """
    if device.programming_states is not None:
        sigmas = torch.tensor([state.sigma_us for state in device.programming_states], dtype=torch.float64)
        return (sigmas * (1e-6 / level_siemens(device))).to(codes.device)[codes.long()]
    on = largest(device, settings)
    if device.programming_polynomial is not None:
        relative, spread = conductance / on, torch.zeros_like(conductance)
        for coefficient in reversed(device.programming_polynomial):
            spread = spread * relative + coefficient
        return spread.clamp_min_(0) * on
    if device.programming_sigma_absolute == 0:
        return device.programming_sigma * conductance
    absolute = conductance.new_tensor(device.programming_sigma_absolute * on)
    return torch.hypot(device.programming_sigma * conductance, absolute)


def cell_conductance(codes: Tensor, device: Device, settings: AnalogSettings, draws: Draws | None) -> Tensor:
    """What cells conduct when they are read.

    In this order: the state's mean; programming variation; drift `(t / t0)**-nu`, nu normal over cells and never below
    0, its mean and spread those of the state; retention, whose mean and spread grow with log10(t / t0); 1/f noise, its
    Q that of the programmed conductance; cells that are stuck. Never below 0.

    The 1/f noise has the standard deviation g Q sqrt(ln((t + tr) / (2 tr))). It is drawn once for a chip: most of its
    power lies at frequencies below one inference. No read comes before t0, when conductances are as programmed.

    Sources: drift and 1/f noise Nandakumar et al., "Phase-change memory models for deep learning training and
    inference", ICECS 2019, and Joshi et al., Nature Communications 11, 2473 (2020).

    Args:
        codes: What the cells store, integers.
        device: The cell.
        settings: Which effects are on, and the time.
        draws: Source of all that is random; None: the mean of every effect, and no faults.

    Returns:
        As `codes`, float64. [level]
    """
    shape, where = tuple(codes.shape), codes.device
    conductance = state_conductance(codes, device, settings)
    on = largest(device, settings)
    if draws is not None and settings.programming_variation:
        spread = programming_spread(codes, conductance, device, settings)
        conductance = spread.mul_(draws.normal("programming", shape, where)).add_(conductance).clamp_min_(0)
    programmed = conductance
    if settings.seconds_since_programming > device.drift_t0_s:
        decades = math.log10(settings.seconds_since_programming / device.drift_t0_s)
        if device.drift_nu or device.drift_nu_sigma:
            nu = _of_codes(device.drift_nu, codes, device, settings)
            if draws is not None and device.drift_nu_sigma:
                sigma = _of_codes(device.drift_nu_sigma, codes, device, settings)
                nu = (nu + sigma * draws.normal("drift", shape, where)).clamp_min_(0)
            conductance = conductance * 10.0 ** (-decades * nu)
        if device.relaxation_per_decade != 0:
            conductance = conductance + device.relaxation_per_decade * decades * on
        if draws is not None and device.relaxation_sigma_per_decade > 0:
            spread = device.relaxation_sigma_per_decade * decades * on
            conductance = conductance + spread * draws.normal("relaxation", shape, where)
        conductance = conductance.clamp_min(0)
    if draws is not None and settings.read_noise and device.read_noise_1f:
        elapsed = max(settings.seconds_since_programming, device.drift_t0_s)
        growth = math.sqrt(max(0.0, math.log((elapsed + device.read_time_s) / (2 * device.read_time_s))))
        noise = by_state(device.read_noise_1f, programmed / on, power_law=True).mul_(growth)
        conductance = noise.mul_(draws.normal("noise_1f", shape, where)).add_(1).mul_(conductance).clamp_min_(0)
    if draws is not None and settings.stuck_cells and device.stuck_on_rate + device.stuck_off_rate > 0:
        fate = draws.uniform("stuck_cells", shape, where)
        conductance = torch.where(fate < device.stuck_on_rate, on, conductance)
        conductance = torch.where(fate >= 1 - device.stuck_off_rate, pedestal(device, settings), conductance)
    return conductance


__all__ = [
    "by_state",
    "cell_conductance",
    "largest",
    "level_siemens",
    "pedestal",
    "programming_spread",
    "state_conductance",
]
