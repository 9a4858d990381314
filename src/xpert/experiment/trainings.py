"""The trainings of a run, by one process or by several.

`torchrun` starts several, all with the same command. The one of rank 0 does it, and says which training is next; the
others follow it, and write nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xpert.analog import analog_layers, at_precision, layer_errors, reprogram, to_analog, weight_deviation
from xpert.design import PRECISION_FIELDS, Chip, Design, Network, in_order
from xpert.errors import ConfigError
from xpert.experiment.config import DatasetOptions, PrecisionSettings, SearchConfig, resizable_network
from xpert.networks import build
from xpert.networks.own import OwnNetwork
from xpert.networks.quantised import calibrate_quantisers
from xpert.progress import Report
from xpert.training import (
    Dataset,
    Disturbance,
    TrainingResult,
    TrainingSettings,
    computing_on,
    distributed,
    load_dataset,
    train,
)


@dataclass(frozen=True)
class Recipe:
    """What a training depends on besides the network and the images."""

    settings: TrainingSettings
    """How long, how fast, and so on."""

    chip: Chip
    """Weight precision, and the variation of the cells that is trained against."""

    input_bits: int
    """Input precision of all layers. [bit]"""

    seed: int
    """Of the initial weights and of everything random after."""

    own: OwnNetwork | None = None
    """The network of the user's own that networks are made from; None: they are backbones."""


def load_split(options: DatasetOptions, seed: int, device: torch.device, progress: Report | None = None) -> Dataset:
    """A data set, with its validation images held back.

    Raises:
        DataError: If it is missing or broken.
    """
    return load_dataset(options.request, progress=progress).split(options.validation, seed).to(device)


def new_model(network: Network, recipe: Recipe, dataset: Dataset) -> nn.Module:
    """A network before its training, where the data set is.

    Backbones are freshly initialised. A network of the user's own has its source's weights; which inputs may be
    negative is seen on training images.
    """
    device = dataset.train_images.device
    if recipe.own is not None:
        images = dataset.normalised(dataset.train_images[:_SIGN_IMAGES]).cpu()
        made = recipe.own.quantised(network, images, weight_bits=recipe.chip.weight_bits, input_bits=recipe.input_bits)
        return made.to(device)
    model = build(
        network,
        weight_bits=recipe.chip.weight_bits,
        input_bits=recipe.input_bits,
        generator=torch.Generator().manual_seed(recipe.seed),
        initialisation=recipe.settings.initialisation,
    )
    return model.to(device)


_SIGN_IMAGES = 64
"""Training images on which inputs are looked at for negative values."""


def recipe_of(config: SearchConfig, settings: TrainingSettings) -> Recipe:
    """The recipe of a config's trainings.

    Raises:
        ConfigError: If its network is one of the user's own that cannot be loaded or resized.
    """
    own = None if config.network.source is None else resizable_network(config)
    return Recipe(settings, config.chip, config.baselines.typical.input_bits, config.seed, own)


def train_new(
    network: Network, recipe: Recipe, dataset: Dataset, checkpoint: Path, progress: Report | None = None
) -> tuple[nn.Module, TrainingResult]:
    """A network, initialised and trained against the variation of the chip's cells, and how that went.

    Args:
        network: What to build.
        recipe: How to train it.
        dataset: What is trained on; the network goes where it is.
        checkpoint: Working file.
        progress: Called as work goes on.
    """
    _call(
        "train_new",
        network=network.model_dump(mode="json"),
        settings=recipe.settings.model_dump(),
        checkpoint=str(checkpoint),
    )
    model = new_model(network, recipe, dataset)
    disturbance = Disturbance(weight_deviation=weight_deviation(recipe.chip, seed=recipe.seed))
    with distributed.own_cores():
        result = train(
            model,
            dataset,
            recipe.settings,
            seed=recipe.seed,
            disturbance=disturbance,
            checkpoint=checkpoint,
            progress=progress,
        )
    return model, result


def finetune(
    model: nn.Module,
    design: Design,
    dataset: Dataset,
    settings: PrecisionSettings,
    training: TrainingSettings,
    seed: int,
    checkpoint: Path,
    progress: Report | None = None,
) -> list[dict[str, Any]]:
    """Train a network in place for a few epochs at the precisions of a design; the curve.

    The ranges of the layers' inputs are first set anew: the best clip at few bits is far below that at many, and a few
    epochs do not learn it. Batch norms are measured at those precisions and then keep their statistics, as they will on
    a chip, unless chips measure their own (`adaptive_batch_norm`): a batch's own statistics would hide from the network
    that noise moves its sums, and the running ones would hold that noise.

    Other processes of a `distributed.torchrun_group` take part.

    Args:
        model: The design's trained network.
        design: Its precisions, and the chip.
        dataset: What is trained on.
        settings: `precision` of the config: `finetune...`, and how many images calibrate.
        training: Of the network; its other settings stay.
        seed: Of the order of images and of the noise.
        checkpoint: Working file.
        progress: Called as work goes on.
    """
    _call("finetune", design=design.model_dump(mode="json"), checkpoint=str(checkpoint))
    distributed.broadcast_model(model)
    count = training.calibration_images
    changes = {"epochs": settings.finetune_epochs, "learning_rate": settings.finetune_learning_rate}
    # What helps a network at its start would undo what the training has come to.
    changes |= {"weight_clip_start": 0.0, "norm_bias_rate": 1.0}
    training = training.replace(**changes | {"calibration_images": 0})
    calibration = dataset.normalised(dataset.train_images[: settings.calibration_images])
    if count:
        with at_precision(model, design):
            _calibrate(model, dataset.normalised(dataset.train_images[:count]))
    hold = not design.chip.analog.adaptive_batch_norm
    if settings.finetune == "simulation":
        analog = to_analog(model, design, generator=None, calibration=calibration)
        order = [layer.name for layer in design.network.on_crossbars]

        def before_step(generator: torch.Generator) -> None:
            reprogram(analog, generator, order)
            if hold:
                _hold_norms(analog)

        disturbance = Disturbance(before_step=before_step)
        # The chips that are written in every step have the cells' variation already.
        training = training.replace(weight_noise=0.0)
        with distributed.own_cores():
            result = train(
                analog, dataset, training, seed=seed, disturbance=disturbance, checkpoint=checkpoint, progress=progress
            )
        _take_back(model, analog)
        return list(result.curves)
    noise = _conversion_noise(model, design, calibration) if settings.finetune == "converters" else {}
    disturbance = Disturbance(
        weight_deviation=_deviations(design, seed),
        output_noise=noise,
        before_step=(lambda _: _hold_norms(model)) if hold else None,
    )
    with distributed.own_cores(), at_precision(model, design):
        result = train(
            model, dataset, training, seed=seed, disturbance=disturbance, checkpoint=checkpoint, progress=progress
        )
    return list(result.curves)


def _deviations(design: Design, seed: int) -> Tensor | dict[str, Tensor]:
    """How much weights vary: of all layers alike, or by name where weights or cells differ in precision."""
    chips = {
        layer.name: design.chip.of_layer(entry.weight_bits, entry.cell_bits)
        for layer, entry in zip(design.network.layers, design.periphery, strict=True)
        if not layer.digital
    }
    tables = {chip: weight_deviation(chip, seed=seed) for chip in dict.fromkeys(chips.values())}
    return next(iter(tables.values())) if len(tables) == 1 else {name: tables[chip] for name, chip in chips.items()}


def _calibrate(model: nn.Module, images: Tensor) -> None:
    """Set the ranges of a trained network's inputs, and the statistics of its batch norms to what then arrives."""
    model.eval()
    norms = _batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    calibrate_quantisers(model, images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _hold_norms(model: nn.Module) -> None:
    """Have batch norms compute with the statistics that they have; a training frees them in every epoch."""
    for norm in _batch_norms(model):
        norm.eval()


def _conversion_noise(model: nn.Module, design: Design, calibration: Tensor) -> dict[str, float]:
    """Noise-to-signal power that the conversions add to every layer's output, by layer.

    Rounding of inputs is in the network already; only what it does not compute itself is added.
    """
    chosen = {entry.values(PRECISION_FIELDS) for entry in design.periphery}
    pairs = sorted(chosen, key=in_order)
    errors = layer_errors(model, design, calibration, pairs)
    exact = design.chip.analog.replace(adc_range="unbounded", ir_drop=False)
    alone = layer_errors(model, design, calibration, pairs, settings=exact)
    noise = {}
    for index, (layer, entry) in enumerate(zip(design.network.layers, design.periphery, strict=True)):
        pair = pairs.index(entry.values(PRECISION_FIELDS))
        noise[layer.name] = float(max(errors[index, pair] - alone[index, pair], 0.0))
    return noise


def _take_back(model: nn.Module, analog: nn.Module) -> None:
    """Give a network the weights that were trained on crossbars."""
    own = analog.state_dict()
    for name in analog_layers(analog):
        inner = f"{name}.layer."
        own |= {f"{name}.{key.removeprefix(inner)}": own[key] for key in list(own) if key.startswith(inner)}
    model.load_state_dict({name: own[name] for name in model.state_dict()})


def together(work: Callable[[], object], device: str) -> bool:
    """Do a command's work; where torchrun started several processes, in that of rank 0, and the others train along.

    Args:
        work: Decides, simulates, writes, and trains.
        device: Where it computes; others take the next GPUs, if it is one.

    Returns:
        Whether this is the process that did the work.
    """
    with distributed.torchrun_group(on_gpus=device != "cpu") as place:
        if distributed.rank():
            _follow(place)
            return False
        work()  # if it fails, torchrun stops the others
        _call("end")
    return True


def announce(config: SearchConfig) -> None:
    """Say whose trainings come next, to processes that train along.

    Raises:
        ConfigError: If they cannot share its batches evenly.
    """
    count = distributed.count()
    for settings in (config.training, config.baselines.training):
        if settings and settings.batch_size % count:
            size = settings.batch_size
            raise ConfigError(f"torchrun: {count} processes cannot share batches of {size} images evenly")
    _call("run", config=config.model_dump(mode="json"))


def _follow(device: torch.device) -> None:
    """Make every call that the process of rank 0 makes, until it has no more."""
    config: SearchConfig | None = None
    dataset: Dataset | None = None
    while (call := json.loads(distributed.broadcast_text()))["name"] != "end":
        if call["name"] == "run":
            config = SearchConfig.parse(call["config"])
            dataset = load_split(config.dataset, config.seed, device)
            continue
        assert config is not None  # noqa: S101 (a run comes first)
        assert dataset is not None  # noqa: S101
        checkpoint = Path(call["checkpoint"])
        with computing_on(config.threads):
            if call["name"] == "train_new":
                network, settings = Network.parse(call["network"]), TrainingSettings.parse(call["settings"])
                train_new(network, recipe_of(config, settings), dataset, checkpoint)
            else:
                design = Design.parse(call["design"])
                model = new_model(design.network, recipe_of(config, config.training), dataset)
                finetune(model, design, dataset, config.precision, config.training, config.seed, checkpoint)


def _call(name: str, **arguments: Any) -> None:
    if distributed.rank() == 0:
        distributed.broadcast_text(json.dumps({"name": name} | arguments))


__all__ = ["Recipe", "announce", "finetune", "load_split", "new_model", "recipe_of", "together", "train_new"]
