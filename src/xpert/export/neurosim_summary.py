"""An evaluation under the labels of NeuroSim's summary, so that scripts that read its log read ours.

Labels and units are those by which such scripts find figures; the figures are XPert's, physically right by default, and
differ from NeuroSim's as docs/hardware-model.md says. Pooling, ReLU, residual adders, the digital unit, buffers and
white space are among "Other Peripheries".

Source of the labels: neurosim/DNN_NeuroSim_V1.4, `Inference_pytorch/NeuroSIM/main.cpp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_AREAS: dict[str, tuple[str, ...]] = {
    "Chip total CIM array : ": ("array",),
    "Total IC Area on chip (Global and Tile/PE local): ": ("interconnect",),
    "Total ADC (or S/As and precharger for SRAM) Area on chip : ": ("adc",),
    "Total Accumulation Circuits (subarray level: adders, shiftAdds; PE/Tile/Global level: accumulation units) on "
    "chip : ": ("accumulation",),
    "Other Peripheries (e.g. decoders, mux, switchmatrix, buffers, pooling and activation units) : ": (
        "buffers",
        "digital",
        "other",
        "white_space",
    ),
}
"""Label -> components of ours."""

_SERIAL = {
    "latency": "Chip layer-by-layer readLatency (per image) is: ",
    "energy": "Chip total readDynamicEnergy is: ",
    "leakage": "Chip total leakage Energy is: ",
    "power": "Chip total leakage Power is: ",
    "buffers": "Chip buffer readLatency is: ",
    "buffers_energy": "Chip buffer readDynamicEnergy is: ",
    "interconnect": "Chip ic readLatency is: ",
    "interconnect_energy": "Chip ic readDynamicEnergy is: ",
    "process": "Layer-by-Layer Process",
}
_PIPELINED = {
    "latency": "Chip pipeline-system-clock-cycle (per image) is: ",
    "energy": "Chip pipeline-system readDynamicEnergy (per image) is: ",
    "leakage": "Chip pipeline-system leakage Energy (per image) is: ",
    "power": "Chip pipeline-system leakage Power (per image) is: ",
    "buffers": "Chip pipeline-system buffer readLatency (per image) is: ",
    "buffers_energy": "Chip pipeline-system buffer readDynamicEnergy (per image) is: ",
    "interconnect": "Chip pipeline-system ic readLatency (per image) is: ",
    "interconnect_energy": "Chip pipeline-system ic readDynamicEnergy (per image) is: ",
    "process": "Pipelined Process",
}


def neurosim_summary(figures: Mapping[str, Any], *, pipelined: bool = False) -> str:
    """The summary of an evaluation.

    Args:
        figures: From `Evaluation.to_dict`.
        pipelined: Whether the chip is.
    """
    words, breakdown = _PIPELINED if pipelined else _SERIAL, figures["breakdown"]
    area, latency, energy = (breakdown[name] for name in ("area_mm2", "latency_us", "energy_uj"))
    leakage = figures["leakage_energy_uj"]
    # Below: um2 of mm2, ns of us, pJ of uJ, uW of mW.
    lines = ["------------------------------ Summary --------------------------------", ""]
    lines.append(f"ChipArea : {figures['area_mm2'] * 1e6:.6g}um^2")
    lines += [f"{label}{sum(area[name] for name in parts) * 1e6:.6g}um^2" for label, parts in _AREAS.items()]
    lines += [
        "",
        f"Chip clock period is: {figures['sensing_period_ns']:.6g}ns",
        f"{words['latency']}{figures['latency_us'] * 1e3:.6g}ns",
        f"{words['energy']}{(figures['energy_uj'] - leakage) * 1e6:.6g}pJ",
        f"{words['leakage']}{leakage * 1e6:.6g}pJ",
        f"{words['power']}{figures['leakage_mw'] * 1e3:.6g}uW",
        f"{words['buffers']}{latency['buffers'] * 1e3:.6g}ns",
        f"{words['buffers_energy']}{energy['buffers'] * 1e6:.6g}pJ",
        f"{words['interconnect']}{latency['interconnect'] * 1e3:.6g}ns",
        f"{words['interconnect_energy']}{energy['interconnect'] * 1e6:.6g}pJ",
        "",
        f"Energy Efficiency TOPS/W ({words['process']}): {figures['tops_per_watt']:.6g}",
        f"Throughput TOPS ({words['process']}): {figures['throughput_tops']:.6g}",
        f"Throughput FPS ({words['process']}): {figures['frames_per_second']:.6g}",
        f"Compute efficiency TOPS/mm^2 ({words['process']}): {figures['tops_per_mm2']:.6g}",
    ]
    return "\n".join(lines) + "\n"


__all__ = ["neurosim_summary"]
