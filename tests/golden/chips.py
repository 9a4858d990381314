"""Records of the hardware model: what chips of every sort cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from xpert.design import Design
from xpert.errors import ConfigError
from xpert.hardware import PHYSICAL, REFERENCE, Switches, evaluate

_MODELS = {"physical": PHYSICAL, "reference": REFERENCE}

_PHYSICAL, _REFERENCE = 26, 14
"""Random chips with each set of switches."""


def chips() -> dict[str, Any]:
    """Random heterogeneous chips; those in the file stay when this draws others."""
    generator = np.random.default_rng(2024)
    models = ["physical"] * _PHYSICAL + ["reference"] * _REFERENCE
    return {f"chip {number}": {"switches": model, "design": _drawn(generator)} for number, model in enumerate(models)}


def cost(given: dict[str, Any]) -> dict[str, Any]:
    """Every figure of a chip, by layer and component."""
    return evaluate(Design.parse(given["design"]), _MODELS[given["switches"]]).to_dict()


def switched_chips() -> dict[str, Any]:
    """Chips that between them feel every switch but three, in one set of switches or the other."""
    return {f"chip of seed {seed}": {"design": _drawn(np.random.default_rng(seed))} for seed in (0, 6, 19, 27)}


def each_switch(given: dict[str, Any]) -> dict[str, Any]:
    """Area, latency and energy of a chip with each switch flipped alone, in both sets."""
    design = Design.parse(given["design"])

    def figures(model: Switches) -> list[float]:
        found = evaluate(design, model)
        return [float(found.area), float(found.latency), float(found.energy)]

    return {
        name: {"none": figures(model)}
        | {
            field.name: figures(replace(model, **{field.name: not getattr(model, field.name)}))
            for field in fields(Switches)
        }
        for name, model in _MODELS.items()
    }


def _drawn(generator: np.random.Generator) -> dict[str, Any]:
    """A random design as plain data, parts included; drawn again until it is allowed."""
    while True:
        try:
            design = Design.parse(_random_design(generator))
            evaluate(design)
        except ConfigError:
            continue
        return design.model_dump(mode="json")


def _random_design(generator: np.random.Generator) -> dict[str, Any]:
    def pick(*options: Any) -> Any:
        return options[generator.integers(len(options))]

    layers = _random_layers(generator, pick)
    chip = _random_chip(pick, pick("rram", "pcm", "fefet", "sram"))
    if chip["execution"] == "pipelined":
        chip["pipeline_speed_up"] = pick(1, 2, 4)
    adc_types = ["sar", "flash", *chip["adcs"]]
    design = {
        "name": "drawn",
        "chip": chip,
        "network": {"backbone": "custom", "layers": layers, "input_shape": [layers[0]["in_channels"], 16, 16]},
        "periphery": [
            {
                "adc_type": pick(*adc_types),
                "columns_per_adc": pick(1, 2, 4, 8, 12, 16, 32),
                "adc_bits": pick(5, 6, 7) if chip["adcs"] else pick(1, 3, 4, 5, 6, 8),
                "input_bits": pick(1, 3, 4, 6, 8),
            }
            for _ in layers
        ],
    }
    if pick(True, False):
        design["activity"] = [
            {"input_bit_density": float(generator.random()), "cell_conductance_s": pick(None, 1e-5)} for _ in layers
        ]
    return design


def _random_chip(pick: Callable[..., Any], cell: str) -> dict[str, Any]:
    weight_bits = pick(4, 6, 8, 8)
    device: Any = {
        "cell": cell,
        "cell_bits": 1 if cell == "sram" else pick(1, 2, 4),
        "access": pick("1t1r", "crosspoint") if cell in ("rram", "pcm") else "1t1r",
        "r_on_ohm": pick(6e3, 20e3, 240e3),
        "r_off_ohm": pick(300e3, 24e6),
        "write_voltage_v": pick(1.2, 2.0, 4.0),
    }
    if pick(True, False, False):
        shipped = {"rram": "rram-milo-2021", "pcm": "pcm-joshi-2020", "fefet": "fefet-jerry-2017"}
        device = shipped.get(cell, "sram-neurosim")
    technology: Any = {
        "node_nm": pick(130, 90, 65, 45, 32, 22, 14, 10, 7),
        "roadmap": pick("LSTP", "HP"),
        "temperature_k": pick(300, 300, 350),
    }
    subarrays, pes = pick((4, 16), (1, 4), (16, 9), (None, None))
    return {
        "technology": pick(technology, technology, technology, "lstp-28nm"),
        "device": device,
        "adcs": pick([], [], ["murmann-sar-median"], ["murmann-sar-best", "murmann-sar-median"]),
        "rows": pick(32, 64, 100, 128),
        "columns": pick(32, 64, 128),
        "weight_bits": weight_bits,
        "subarrays_per_pe": subarrays,
        "pes_per_tile": pes,
        "buffers": {
            "tile_core_bits": pick(32, 128, 1024),
            "global_core_bits": pick(64, 128),
            "global_kind": pick("register_file", "sram"),
            "max_bus_bits": pick(256, 2048),
        },
        "activity": {"input_bit_density": pick(0.1, 0.3)},
        "analog": {"encoding": pick("offset", "differential")},
        "mapping": pick("conventional", "novel"),
        "execution": pick("layer_by_layer", "layer_by_layer", "pipelined"),
        "synchronous": pick(True, True, False),
        "clock": pick("layer", "chip"),
        "logic_clock_hz": pick(1e9, 5e8),
    }


def _random_layers(generator: np.random.Generator, pick: Callable[..., Any]) -> list[dict[str, Any]]:
    """A chain of convolutions, some in groups or followed by pooling, and a linear layer."""
    channels, side, layers = pick(1, 3), 16, []
    for number in range(int(generator.integers(2, 5))):
        kernel, groups = pick(1, 3, 3, 5), pick(1, 1, 1, 2, channels)
        out_channels = pick(8, 16, 40, 128)
        stride, pool = (pick(1, 1, 2), pick(1, 2)) if side > 4 else (1, 1)
        layers.append(
            {
                "name": f"conv{number}",
                "in_channels": channels,
                "out_channels": out_channels,
                "in_height": side,
                "in_width": side,
                "kernel_height": kernel,
                "kernel_width": pick(kernel, kernel, 1),
                "stride": stride,
                "padding": kernel // 2,
                "groups": groups,
                "pool": pool,
                "relu": pick(True, True, False),
                "residual": pick(False, False, True),
            }
        )
        channels, side = out_channels, max(side // stride // pool, 1)
    return [
        *layers,
        {"name": "fc", "kind": "linear", "in_channels": channels, "out_channels": 10, "relu": False},
    ]
