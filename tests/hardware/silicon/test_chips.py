"""The macros with a file of their own: every file parses, and the model has all figures that were published."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

from xpert.design import Chip, Periphery
from xpert.hardware.silicon.macros import chip_files

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "src" / "xpert" / "hardware" / "data" / "silicon" / "chips").glob("*.yaml"))


@pytest.fixture(scope="module")
def macros() -> ModuleType:
    spec = importlib.util.spec_from_file_location("macros", ROOT / "benchmarks" / "macros.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_is_read() -> None:
    assert len(FILES) >= 4
    assert list(chip_files()) == [path.stem for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(macros: ModuleType, path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    macro = chip_files()[path.stem]
    chip, periphery = Chip.parse(macro["chip"]), Periphery.parse(macro["periphery"])
    assert periphery.columns_per_adc <= chip.columns
    assert macro["macs"] * chip.weight_code.slices <= chip.rows * chip.columns
    assert macro["source"]
    assert set(macro["published"]) <= set(macros.UNITS)
    assert macro["assumed"]
    assert macro["comment"]


def test_figures_are_finite_and_agree_with_one_another(macros: ModuleType) -> None:
    for key, row in macros.compare().items():
        macro, ours = chip_files()[key], row["model"]
        assert all(math.isfinite(value) and value > 0 for value in ours.values())
        assert ours["gops"] * ours["latency_ns"] == pytest.approx(2 * macro["macs"])
        assert ours["tops_per_watt"] * ours["energy_pj"] == pytest.approx(2 * macro["macs"])
        for name, figure in row["figures"].items():
            assert figure["ratio"] * figure["published"] == pytest.approx(ours[name])


def test_published_figures_agree_with_one_another() -> None:
    for macro in chip_files().values():
        published, operations = macro["published"], 2 * macro["macs"]
        if "gops" in published:
            assert published["gops"] * published["latency_ns"] == pytest.approx(operations, rel=1e-3)
        if "energy_pj" in published:
            assert published["tops_per_watt"] * published["energy_pj"] == pytest.approx(operations, rel=1e-2)
