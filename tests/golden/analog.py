"""Records of the simulation: outputs of a small network on crossbars with every effect, and its accuracies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xpert.analog import ni_accuracy, to_analog
from xpert.design import Design
from xpert.workload.trace import trace

_SHAPE = (3, 10, 10)
_SEED = 17

_EFFECTS: dict[str, Any] = {
    "device": {
        "programming_sigma": 0.02,
        "programming_sigma_absolute": 0.003,
        "read_noise_sigma": 0.005,
        "drift_nu": 0.05,
        "drift_nu_sigma": 0.002,
        "relaxation_per_decade": -0.002,
        "relaxation_sigma_per_decade": 0.0005,
        "stuck_on_rate": 0.0003,
        "stuck_off_rate": 0.0005,
        "access_resistance_ohm": 100.0,
    },
    "analog": {
        "seconds_since_programming": 1e3,
        "ir_drop": True,
        "driver_ohm": 20.0,
        "sense_ohm": 10.0,
        "adc_offset_sigma": 0.1,
        "adc_gain_sigma": 0.005,
        "adc_noise": 0.1,
        "adaptive_batch_norm": True,
    },
}

_CHANGES: dict[str, dict[str, Any]] = {
    "offset": {},
    "offset, off reference, two's complement": {
        "analog": {"reference": "off", "signed_inputs": "twos_complement", "reference_variation": True}
    },
    "differential": {"analog": {"encoding": "differential"}},
    "learned range": {"analog": {"adc_range": "learned"}},
    "full scale": {"analog": {"adc_range": "full_scale"}, "device": {"cell_bits": 2}},
    "no ADC": {"analog": {"adc_range": "unbounded"}},
    "novel mapping": {"chip": {"mapping": "novel"}, "device": {"cell_bits": 2}},
    "sram": {
        "device": {"cell": "sram", "cell_bits": 1, "programming_sigma": 0.02},
        "analog": {"encoding": "differential"},
    },
    "measured polynomial": {"device": {"programming_polynomial": [0.01, 0.08, -0.06]}},
}


def settings() -> dict[str, Any]:
    """What of the chip differs from its defaults, by name."""
    found = {}
    for name, changes in _CHANGES.items():
        parts = {part: effects | changes.get(part, {}) for part, effects in _EFFECTS.items()}
        chip = {"rows": 16, "columns": 16} | changes.get("chip", {})
        found[name] = {"seed": _SEED, "chip": chip | parts}
    nothing = {"rows": 16, "columns": 16, "device": {"programming_sigma": 0.0}}
    return found | {"no effect but the ADC": {"seed": _SEED, "chip": nothing}}


def outputs(given: dict[str, Any]) -> dict[str, Any]:
    """Logits on one chip, and the accuracy on three."""
    torch.set_num_threads(1)
    model, images = _network(given["seed"])
    layers = [layer.model_dump(mode="json") for layer in trace(model, _SHAPE)]
    periphery = [
        {"adc_type": "sar", "columns_per_adc": 4 + 4 * (index % 2), "adc_bits": 8 - index % 3, "input_bits": 8 - index}
        for index in range(len(layers))
    ]
    network = {"backbone": "custom", "input_shape": list(_SHAPE), "layers": layers}
    design = Design.parse({"chip": given["chip"], "network": network, "periphery": periphery})
    calibration, seen = images[:12], images[12:]
    generator = torch.Generator().manual_seed(given["seed"])
    chip = to_analog(model, design, generator=generator, calibration=calibration)
    with torch.no_grad():
        plain = to_analog(model, design, generator=None, calibration=calibration)
        found = {"nominal": plain(seen[:4]).tolist(), "sampled": chip(seen[:4]).tolist()}
        labels = model(seen).argmax(dim=1)
    accuracy = ni_accuracy(model, design, seen, labels, calibration, seed=given["seed"], chips=3)
    return {"layers": layers} | found | {"ni_accuracy": accuracy.chips, "mean": accuracy.mean, "std": accuracy.std}


def _network(seed: int) -> tuple[nn.Module, Tensor]:
    """A small network of plain layers, and images for it; NumPy draws them, the same everywhere."""
    generator = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(5),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.copy_(torch.from_numpy(generator.standard_normal(module.weight.shape) / fan_in**0.5))
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.from_numpy(generator.uniform(0.5, 1.5, module.weight.shape)))
                module.bias.copy_(torch.from_numpy(generator.uniform(-0.5, 0.5, module.bias.shape)))
                module.momentum = 1.0
        images = torch.from_numpy(generator.standard_normal((60, *_SHAPE)).astype(np.float32))
        model(images)  # running statistics of batch norm
        logits = model.eval()(images)
        # All classes are likely only where logits have the same mean and spread.
        model[-1].weight.div_(logits.std(dim=0)[:, None])
        model[-1].bias.copy_(-logits.mean(dim=0) / logits.std(dim=0))
    return model, images
