"""Speed and memory of the analog simulation: `python -m benchmarks.analog [--json] [--images N] [--network-threads N]`.

The work is that of the published comparison (results/analog.md): 3x3 convolutions, batch 16, 8-bit weights in 4-bit
cells, 64 rows, 8 input bits, 6-bit ADCs, conductances that vary by 10 %. Images per second are those of one core: CPU
time of one thread, median over rounds in which all tasks take turns, so that a busy moment meets all alike.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn import functional as F

from xpert.analog import AnalogLayer, analog_layers, native, to_analog
from xpert.design import AnalogSettings, Chip, Design, Device, Periphery
from xpert.networks import build, space
from xpert.networks.quantised import QuantConv2d, calibrate_quantisers

BATCH = 16
CASES = {"A: 64 to 64 channels, 32x32": (64, 32), "B: 128 to 128 channels, 16x16": (128, 16)}
PERIPHERY = Periphery(adc_bits=6, input_bits=8)

EFFECTS: dict[str, tuple[dict[str, float], dict[str, object]]] = {
    "6-bit ADC alone": ({}, {}),
    "programming variation 10 %": ({"programming_sigma": 0.1}, {}),
    "the same, reference columns too": ({"programming_sigma": 0.1}, {"reference_variation": True}),
    "stuck cells 0.1 % on, 0.1 % off": ({"stuck_on_rate": 1e-3, "stuck_off_rate": 1e-3}, {}),
    "drift over a day": ({"drift_nu": 0.01, "drift_nu_sigma": 0.002}, {"seconds_since_programming": 86400.0}),
    "IR drop": ({}, {"ir_drop": True}),
    "ADC offset 0.2 step": ({}, {"adc_offset_sigma": 0.2}),
    "ADC gain 1 %": ({}, {"adc_gain_sigma": 0.01}),
    "ADC noise 0.2 step, every conversion": ({}, {"adc_noise": 0.2}),
    "read noise 2 %, every cycle": ({"read_noise_sigma": 0.02}, {}),
}
"""Name -> values of the device, settings of the simulation. Without an entry a device does not vary."""

ALL = "all of these"

FLASH_BITS = (4, 6, 8)
"""Precisions at which flash ADCs, each threshold with an offset of its own, are timed against SAR ADCs."""

PEERS = {
    "NeuroSim V1.3": (4.97, 3.01),
    "NeuroSim V1.4": (4.33, 3.02),
    "NeuroSim V1.5": (4.47, 5.72),
    "CrossSim 3.2": (0.97, 1.19),
    "MNSIM": (17.8, 27.7),
    "ASiM": (2.13, 2.22),
    "aihwkit, neither bit-serial nor sliced": (32.8, 43.1),
}
"""Images/s of cases A and B, measured on another day on one thread of a comparable core (2-core x86-64, AVX-512), with
variation and ADC only: none of them adds noise of reads and ADC errors as well."""


def chip(effect: str, rows: int = 64) -> Chip:
    """What an effect, or all of them, make of the chip."""
    device: dict[str, object] = {"cell_bits": 4, "programming_sigma": 0.0}
    settings: dict[str, object] = {}
    for name in EFFECTS if effect == ALL else [effect]:
        device |= EFFECTS[name][0]
        settings |= EFFECTS[name][1]
    return Chip(
        rows=rows,
        weight_bits=8,
        device=Device.model_validate(device),
        analog=AnalogSettings.model_validate(settings),
    )


def layer(channels: int, side: int) -> tuple[QuantConv2d, torch.Tensor]:
    """A layer with random weights and its input."""
    generator = torch.Generator().manual_seed(0)
    convolution = QuantConv2d(channels, channels, 3, padding=1, bias=False)
    with torch.no_grad():
        convolution.weight.normal_(generator=generator)
    images = torch.randn((BATCH, channels, side, side), generator=generator).relu()
    calibrate_quantisers(torch.nn.Sequential(convolution), images)
    return convolution, images


def on_crossbars(
    convolution: QuantConv2d, images: torch.Tensor, effect: str, periphery: Periphery = PERIPHERY
) -> AnalogLayer:
    """The layer on a chip with an effect, ready to compute."""
    analog = AnalogLayer(convolution, chip(effect), periphery)
    analog.calibrate_adcs(analog.sample_inputs(images, 256))
    analog.program(torch.Generator().manual_seed(1))
    return analog


def in_turns(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU time of each task, median over rounds after a first one that does not count. [s]"""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(of_task[1:]) for name, of_task in times.items()}


@contextmanager
def in_torch() -> Iterator[None]:
    """Without the C code."""
    os.environ["XPERT_NATIVE"] = "0"
    try:
        yield
    finally:
        del os.environ["XPERT_NATIVE"]


def layer_speed(channels: int, side: int, rounds: int) -> dict[str, dict[str, float]]:
    """Images per second through one layer, with each effect and all; by torch; and of baselines."""
    convolution, images = layer(channels, side)
    tasks: dict[str, Callable[[], object]] = {}
    for effect in (*EFFECTS, ALL):
        analog = on_crossbars(*layer(channels, side), effect)
        tasks[effect] = lambda analog=analog: analog(images)

    positions, blocks = BATCH * side * side, 9 * channels // 64
    vectors = min(8192, positions * PERIPHERY.input_bits)
    calls = positions * PERIPHERY.input_bits * blocks // vectors

    def products(dtype: torch.dtype) -> Callable[[], object]:
        bits = torch.randint(0, 2, (vectors, 64)).to(dtype)
        cells = torch.randn((64, 2 * channels)).to(dtype)
        out = torch.empty((vectors, 2 * channels), dtype=dtype)
        return lambda: [torch.mm(bits, cells, out=out) for _ in range(calls)]

    for bits in FLASH_BITS:
        for kind in ("SAR", "flash"):
            periphery = PERIPHERY.replace(adc_bits=bits, adc_type=kind.lower())
            converted = on_crossbars(*layer(channels, side), ALL, periphery)
            tasks[f"{bits}-bit {kind}"] = lambda analog=converted: analog(images)

    flat = images.to(memory_format=torch.channels_last)
    tasks["fp32 products alone"] = products(torch.float32)
    tasks["bf16 products alone"] = products(torch.bfloat16)
    tasks["plain fp32 convolution"] = lambda: F.conv2d(flat, convolution.weight, padding=1)
    tasks["quantised layer"] = lambda: convolution(images)
    with torch.no_grad():
        seconds = in_turns(tasks, rounds)
        with in_torch():  # of one image: it takes a hundred times as long
            some = [on_crossbars(*layer(channels, side), effect) for effect in ("6-bit ADC alone", ALL)]
            slow = in_turns(
                {name: lambda analog=analog: analog(images[:1]) for name, analog in zip(("ADC", ALL), some)}, 1
            )
    speed = {name: BATCH / time for name, time in seconds.items()}
    speed |= {f"torch, {name}": 1 / time for name, time in slow.items()}
    ours = {name: speed.pop(name) for name in (*EFFECTS, ALL)}
    kinds = {bits: [speed.pop(f"{bits}-bit {kind}") for kind in ("SAR", "flash")] for bits in FLASH_BITS}
    return {
        "images_per_second": ours,
        "all_over_bf16_products": {"all": ours[ALL] / speed["bf16 products alone"]},
        "flash_images_per_second": {f"{bits} bits": flash for bits, (_, flash) in kinds.items()},
        "flash_over_sar_time": {f"{bits} bits": sar / flash for bits, (sar, flash) in kinds.items()},
        "baselines_images_per_second": speed,
    }


def peak_over_activations(channels: int, side: int, input_bits: int) -> float:
    """Most memory that a layer with all effects takes while it computes, over that of input and output (Linux)."""

    def status(key: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

    torch.set_num_threads(1)
    convolution, images = layer(channels, side)
    analog = on_crossbars(convolution, images, ALL, PERIPHERY.replace(input_bits=input_bits))
    with torch.no_grad():
        analog(images[:1])
        ctypes.CDLL(None).malloc_trim(0)  # what was freed counts again when it is used
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = status("VmRSS")
        analog(images)
    return (status("VmHWM") - before) / (2 * images.numel() * images.element_size())


def memory(channels: int, side: int) -> dict[str, float]:
    """Peak memory over activations by input bits, each in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        arguments = [(channels, side, input_bits) for input_bits in (1, 2, 4, 8)]
        peaks = pool.starmap(peak_over_activations, arguments, chunksize=1)
    return {str(input_bits): peak for (*_, input_bits), peak in zip(arguments, peaks)}


def network_speed(n_images: int, threads: int) -> dict[str, float]:
    """VGG16 with 64 ... 512 channels on images of 32x32, all effects: programming its chip, and images/s."""
    vgg = space("vgg16", (64, 128, 256, 512), input_shape=(3, 32, 32), num_classes=10)
    network = vgg.network(vgg.default_channels)
    generator = torch.Generator().manual_seed(0)
    model = build(network, generator=generator).eval()
    images = torch.randn((n_images, 3, 32, 32), generator=generator)
    calibrate_quantisers(model, images[:32])
    design = Design.homogeneous(network, chip(ALL), PERIPHERY)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        cpu, start = time.process_time(), time.perf_counter()
        analog = to_analog(model, design, generator=generator, calibration=images[:32])
        programming, programming_cpu = time.perf_counter() - start, time.process_time() - cpu
        with torch.no_grad():
            analog(images[:2])
            cpu, start = time.process_time(), time.perf_counter()
            for batch in images.split(64):
                analog(batch)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    finally:
        torch.set_num_threads(before)
    return {
        "layers": len(analog_layers(analog)),
        "images": n_images,
        "threads": threads,
        "programming_seconds": programming,
        "programming_cpu_seconds": programming_cpu,
        "images_per_second": n_images / seconds,
        "images_per_cpu_second": n_images / cpu,
        "seconds_for_10000_images": 10000 * seconds / n_images,
        "cpu_seconds_for_10000_images": 10000 * cpu / n_images,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over which the median is taken (default 5)")
    parser.add_argument(
        "--images", type=int, default=0, help="images through VGG16 (default none: programming takes a minute)"
    )
    parser.add_argument("--network-threads", type=int, default=2, help="threads for the whole network (default 2)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, object] = {"columns": native.CODE.implementation(), "torch": torch.__version__}
    for index, (case, (channels, side)) in enumerate(CASES.items()):
        speed = layer_speed(channels, side, arguments.rounds)
        figures[case] = {
            **speed,
            "peers_images_per_second": {name: values[index] for name, values in PEERS.items()},
            "peak_memory_over_activations_by_input_bits": memory(channels, side),
        }
    if arguments.images:
        figures["vgg16"] = network_speed(arguments.images, arguments.network_threads)
    if arguments.json:
        print(json.dumps(figures))
        return
    show(figures)


def show(figures: dict[str, object], indent: str = "") -> None:
    """Print nested figures."""
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        else:
            print(
                f"{indent}{name:{44 - len(indent)}} {value:10.3g}"
                if isinstance(value, float | int)
                else f"{name}: {value}"
            )


if __name__ == "__main__":
    main()
