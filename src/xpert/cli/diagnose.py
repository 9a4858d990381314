"""`xpert diagnose`: why the accuracy on a chip is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli import output
from xpert.cli.interrupts import interrupts_deferred
from xpert.cli.options import (
    Arguments,
    BatchSize,
    CalibrationImages,
    Changes,
    ChipSeed,
    DataDir,
    DesignSource,
    Device,
    Digital,
    Images,
    InputShape,
    Json,
    MeasuredDesign,
    SampledChips,
    TrainedWeights,
)
from xpert.cli.sources import read_measured
from xpert.text import plain_percent

if TYPE_CHECKING:
    from xpert.results.diagnosis import ChainStep, DiagnosisFile, LayerDiagnosis, Suggestion


def diagnose(
    design: MeasuredDesign,
    dataset: Images,
    weights: TrainedWeights = None,
    network: DesignSource = None,
    input_shape: InputShape = None,
    argument: Arguments = None,
    digital: Digital = None,
    data_dir: DataDir = None,
    chips: SampledChips = 2,
    calibration_images: CalibrationImages = 128,
    batch_size: BatchSize = 128,
    seed: ChipSeed = 0,
    images: Annotated[int, typer.Option(min=1, help="Only the first so many test images.")] = 256,
    changes: Changes = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> int:
    """Find out why a network's accuracy on a design is what it is, and what to change first.

    Looks at the network in float, at the way from there to ideal crossbars, and at every layer and effect of the chip.
    Suggested changes are tried on the same images and chips. It takes some 20 times as long as `xpert accuracy`.

    Example: **xpert diagnose runs/quickstart/design.json --weights runs/quickstart/weights.safetensors
    --dataset digits**

    **xpert diagnose my_model.py:Net --weights my.safetensors --dataset cifar10 --set adc_range=full_scale**
    """
    loaded, own = read_measured(
        design, network, input_shape, argument, weights, dataset, data_dir, digital=digital, changes=changes
    )

    with interrupts_deferred():
        from xpert.experiment.measure import diagnosis_of_design

    with output.progress() as progress:
        found = diagnosis_of_design(
            loaded,
            weights,
            dataset,
            data_dir,
            network=own,
            seed=seed,
            chips=chips,
            calibration_images=calibration_images,
            batch_size=batch_size,
            images=images,
            device=device,
            progress=progress,
        )
    if as_json:
        output.write_json(found.to_dict())
    else:
        _show(found, loaded.name, dataset)
    return 0


def _show(found: DiagnosisFile, name: str, dataset: str) -> None:
    of_images = f"{name}: from float to ideal crossbars, {found.images} images of {dataset}"
    output.show(output.table(of_images, ["step", "outputs", "accuracy"], map(_step_row, found.chain), left=2))
    if found.layers:
        header = ["layer", "rounding dB", "chip dB", "in all dB", "below", "above", "levels used", "alone"]
        title = "Layers: signal to error, share of sums beyond the ADCs' range, accuracy with that layer alone on chips"
        output.show(output.table(title, header, map(_layer_row, found.layers)))
    if found.ablation:
        rows = [
            [one.effect.replace("_", " "), plain_percent(one.alone.ni_mean), plain_percent(one.without.ni_mean)]
            for one in found.ablation
        ]
        rows.append(["all", plain_percent(found.ni_mean), ""])
        output.show(output.table("Accuracy by effect", ["effect", "with it alone", "with all others"], rows))
    output.write(f"Cause: {found.cause.replace('_', ' ')}. {found.text[0].upper()}{found.text[1:]}.\n")
    if found.suggestions:
        header = ["what to change first", "accuracy", "gain, points", "95 %"]
        output.write("\n")
        output.show(output.table("Tried on the same images and chips", header, map(_suggestion_row, found.suggestions)))
        best = found.suggestions[0]
        if best.gain.mean <= 0:
            output.write("None of these helped.\n")
        else:
            output.write(f"First: {best.change}, since {best.because}.\n")


def _step_row(step: ChainStep) -> list[str]:
    if step.against is None:
        words = "as given" if not step.difference else f"may differ: by {step.difference:.1e} of the largest"
    elif step.difference == 0:
        words = f"= {step.against}, bit for bit"
    else:
        sign = "=" if step.holds else "NOT ="
        words = f"{sign} {step.against}, within {step.difference:.1e} (rounding: {step.allowed:.0e})"
    return [step.name, words, plain_percent(step.accuracy)]


def _layer_row(one: LayerDiagnosis) -> list[str]:
    ratios = ["exact" if value is None else f"{value:.1f}" for value in _ratios(one)]
    if one.levels is None:
        return [one.layer, *ratios, "-", "-", "-", plain_percent(one.alone)]
    beyond = [f"{100 * (share or 0):.2f} %" for share in (one.below, one.above)]
    return [one.layer, *ratios, *beyond, f"{one.levels_used}/{one.levels}", plain_percent(one.alone)]


def _ratios(one: LayerDiagnosis) -> list[float | None]:
    return [one.rounding_db, one.snr_db, one.accumulated_snr_db]


def _suggestion_row(one: Suggestion) -> list[str]:
    words = one.change + (f" (--set {one.setting})" if one.setting else "")
    gain = one.gain
    interval = f"{100 * gain.low:+.1f} ... {100 * gain.high:+.1f}"
    return [words, plain_percent(one.ni_mean), f"{100 * gain.mean:+.1f}", interval]
