"""The summary in NeuroSim's words: read as scripts of others read its log, it gives the evaluation's figures."""

from __future__ import annotations

import re

import pytest

from xpert.design import Design
from xpert.experiment import load_preset, typical_design
from xpert.export.neurosim_summary import neurosim_summary
from xpert.hardware import evaluate


def design(execution: str) -> Design:
    found = typical_design(load_preset("quickstart"))
    more = {"pipeline_speed_up": 1} if execution == "pipelined" else {}
    return found.replace(chip=found.chip.replace(execution=execution, **more))


@pytest.mark.parametrize(
    ("execution", "latency", "dynamic", "leakage", "process"),
    [
        (
            "layer_by_layer",
            "Chip layer-by-layer readLatency (per image) is: ",
            "Chip total readDynamicEnergy is: ",
            "Chip total leakage Energy is: ",
            "Layer-by-Layer Process",
        ),
        (
            "pipelined",
            "Chip pipeline-system-clock-cycle (per image) is: ",
            "Chip pipeline-system readDynamicEnergy (per image) is: ",
            "Chip pipeline-system leakage Energy (per image) is: ",
            "Pipelined Process",
        ),
    ],
)
def test_scripts_find_the_figures(execution: str, latency: str, dynamic: str, leakage: str, process: str) -> None:
    figures = evaluate(design(execution)).to_dict()
    text = neurosim_summary(figures, pipelined=execution == "pipelined")

    def number(label: str, unit: str = "") -> float:
        found = re.search(re.escape(label) + r"([0-9.e+-]+)" + re.escape(unit) + "$", text, re.MULTILINE)
        assert found is not None, label
        return float(found[1])

    assert number("ChipArea : ", "um^2") == pytest.approx(figures["area_mm2"] * 1e6, rel=1e-5)
    assert number(latency, "ns") == pytest.approx(figures["latency_us"] * 1e3, rel=1e-5)
    spent = number(dynamic, "pJ") + number(leakage, "pJ")
    assert spent == pytest.approx(figures["energy_uj"] * 1e6, rel=1e-5)
    assert number(f"Energy Efficiency TOPS/W ({process}): ") == pytest.approx(figures["tops_per_watt"], rel=1e-5)
    assert number(f"Throughput FPS ({process}): ") == pytest.approx(figures["frames_per_second"], rel=1e-5)
    # The parts of the area, which are all that end in this unit, add up to the chip's.
    areas = [float(value) for value in re.findall(r": ([0-9.e+-]+)um\^2$", text, re.MULTILINE)]
    assert sum(areas[1:]) == pytest.approx(areas[0], rel=1e-5)
    assert len(areas) == 6
