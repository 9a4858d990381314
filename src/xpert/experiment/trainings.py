"""The trainings of a run, by one process or by several.

Every process of a `distributed.group` makes the same calls. The one of rank 0 is the run's own and says which call is
next; the others, in `take_part`, follow it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xpert.analog import analog_layers, at_precision, layer_errors, reprogram, to_analog, weight_deviation
from xpert.design import Design, Network
from xpert.experiment.config import SearchConfig
from xpert.networks import build
from xpert.training import Dataset, Disturbance, TrainingResult, TrainingSettings, distributed, load_dataset, train

Progress = Callable[[dict[str, Any]], None]


def load_split(config: SearchConfig, device: torch.device) -> Dataset:
    """The data set of a config, with its validation images held back.

    Raises:
        DataError: If it is missing or broken.
    """
    dataset = load_dataset(config.dataset.name, config.dataset.data_dir)
    return dataset.split(config.dataset.validation, config.seed).to(device)


def new_model(config: SearchConfig, network: Network, device: torch.device) -> nn.Module:
    """A network, freshly initialised by the config's seed."""
    bits = config.baselines.typical.input_bits
    generator = torch.Generator().manual_seed(config.seed)
    return build(network, weight_bits=config.chip.weight_bits, input_bits=bits, generator=generator).to(device)


def train_new(
    network: Network,
    settings: TrainingSettings,
    dataset: Dataset,
    config: SearchConfig,
    checkpoint: Path,
    tell: Progress | None = None,
) -> tuple[nn.Module, TrainingResult]:
    """A network, initialised and trained against the variation of the chip's cells, and how that went.

    Args:
        network: What to build.
        settings: How to train it.
        dataset: What is trained on; the network goes where it is.
        config: Seed, chip, precisions.
        checkpoint: Working file.
        tell: Takes figures of progress.
    """
    _call(
        "train_new", network=network.model_dump(mode="json"), settings=settings.model_dump(), checkpoint=str(checkpoint)
    )
    model = new_model(config, network, dataset.train_images.device)
    hardware = Disturbance(weight_deviation=weight_deviation(config.chip, seed=config.seed))
    with distributed.own_cores():
        result = train(
            model, dataset, settings, seed=config.seed, hardware=hardware, checkpoint=checkpoint, progress=tell
        )
    return model, result


def finetune(
    model: nn.Module,
    design: Design,
    dataset: Dataset,
    config: SearchConfig,
    checkpoint: Path,
    tell: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train a network in place for a few epochs at the precisions of a design; the curve.

    Other processes of a `distributed.group` take part.

    Args:
        model: The design's trained network.
        design: Its precisions.
        dataset: What is trained on.
        config: `precision.finetune...` and `training`.
        checkpoint: Working file.
        tell: Takes figures of progress.
    """
    _call("finetune", design=design.model_dump(mode="json"), checkpoint=str(checkpoint))
    distributed.share(model)
    settings = config.precision
    changes = {"epochs": settings.finetune_epochs, "learning_rate": settings.finetune_learning_rate}
    training = config.training.replace(**changes | {"calibration_images": 0})
    calibration = dataset.normalised(dataset.train_images[: settings.calibration_images])
    if settings.finetune == "simulation":
        analog = to_analog(model, design, generator=None, calibration=calibration)
        order = [layer.name for layer in design.network.layers]
        hardware = Disturbance(before_step=lambda generator: reprogram(analog, generator, order))
        # The chips that are written in every step have the cells' variation already.
        training = training.replace(weight_noise=0.0)
        with distributed.own_cores():
            result = train(
                analog, dataset, training, seed=config.seed, hardware=hardware, checkpoint=checkpoint, progress=tell
            )
        _take_back(model, analog)
        return list(result.curves)
    noise: dict[str, float] = {}
    if settings.finetune == "converters":
        pairs = sorted({(entry.adc_bits, entry.input_bits) for entry in design.periphery})
        errors = layer_errors(model, design, calibration, pairs)
        # Rounding of inputs is in the network already; only what it does not compute itself is added.
        exact = design.chip.analog.replace(adc_range="unbounded", ir_drop=False)
        alone = layer_errors(model, design, calibration, pairs, settings=exact)
        for index, (layer, entry) in enumerate(zip(design.network.layers, design.periphery, strict=True)):
            pair = pairs.index((entry.adc_bits, entry.input_bits))
            noise[layer.name] = float(max(errors[index, pair] - alone[index, pair], 0.0))
    hardware = Disturbance(weight_deviation=weight_deviation(config.chip, seed=config.seed), output_noise=noise)
    with distributed.own_cores(), at_precision(model, design):
        result = train(
            model, dataset, training, seed=config.seed, hardware=hardware, checkpoint=checkpoint, progress=tell
        )
    return list(result.curves)


def _take_back(model: nn.Module, analog: nn.Module) -> None:
    """Give a network the weights that were trained on crossbars."""
    own = analog.state_dict()
    for name in analog_layers(analog):
        inner = f"{name}.layer."
        own |= {f"{name}.{key.removeprefix(inner)}": own[key] for key in list(own) if key.startswith(inner)}
    model.load_state_dict({name: own[name] for name in model.state_dict()})


def take_part(config: SearchConfig, device: torch.device) -> None:
    """Make every call that the process of rank 0 makes, until it is gone."""
    dataset = load_split(config, device)
    while True:
        call = json.loads(distributed.tell())
        checkpoint = Path(call["checkpoint"])
        if call["name"] == "train_new":
            network, settings = Network.parse(call["network"]), TrainingSettings.parse(call["settings"])
            train_new(network, settings, dataset, config, checkpoint)
        else:
            design = Design.parse(call["design"])
            finetune(new_model(config, design.network, device), design, dataset, config, checkpoint)


def _call(name: str, **arguments: Any) -> None:
    if distributed.rank() == 0:
        distributed.tell(json.dumps({"name": name} | arguments))


__all__ = ["finetune", "load_split", "new_model", "take_part", "train_new"]
