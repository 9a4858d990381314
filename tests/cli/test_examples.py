"""Every example of every help text runs, and no command's table is cut on a terminal of 80 columns."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

from tests.cli.test_search import TINY
from tests.cli.test_solve import PROBLEM
from tests.cli.test_usage import COMMANDS
from xpert.cli import output
from xpert.cli.app import app
from xpert.experiment import SearchConfig
from xpert.experiment.pipeline import run_search
from xpert.networks.sources import load_network
from xpert.training.source import RawImages

CODE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4)
        self.fc = nn.Linear(4 * 64, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))
"""

SLOW = {
    # Many chips and images say nothing of a command line.
    "accuracy": ["--chips", "1", "--images", "8", "--calibration-images", "16"],
    "diagnose": ["--chips", "1", "--images", "8", "--calibration-images", "16"],
}


def examples() -> list[str]:
    """What help texts print in bold: commands, each on a line of its own or after `Example:`."""
    texts = [command.callback.__doc__ or "" for command in app.registered_commands if command.callback]
    found = [" ".join(words.split()) for text in texts for words in re.findall(r"\*\*(xpert .*?)\*\*", text, re.DOTALL)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("finished") / "run"
    run_search(SearchConfig.parse(TINY), out)
    # As accurate as that of an example.
    path = out / "results.json"
    results = json.loads(path.read_text())
    results["precision"]["front"][0]["ni_accuracy"] = 0.98
    path.write_text(json.dumps(results))
    return out


def write_reference(path: Path, shared: Path) -> None:
    with gzip.open(shared / "reference" / "modules.jsonl.gz", "rt") as lines:
        rows = [line for line in lines if json.loads(line)["kind"] == "module/h_tree"][:3]
    path.write_bytes(gzip.compress("".join(rows).encode()))


def write_onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    generator = torch.Generator().manual_seed(0)

    def values(name: str, *shape: int) -> Any:
        return onnx.numpy_helper.from_array(torch.randn(shape, generator=generator).numpy(), name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "v"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", [1, 3, 32, 32]), ("y", [1, 10]))]
    weights = [values("w", 4, 3, 4, 4), values("v", 256, 10)]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def place(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name; searches find that they are finished."""
    for name in ("quickstart", "a", "b"):
        shutil.copytree(run, tmp_path / "runs" / name)
    for name in ("design.json", "weights.safetensors"):
        shutil.copy(run / name, tmp_path / name)
    shutil.copy(run / "weights.safetensors", tmp_path / "w.safetensors")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    (tmp_path / "my_model.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    module = load_network("my_model.py:Net", input_shape=(3, 32, 32)).module
    from xpert.training import save_weights

    save_weights(module, tmp_path / "my.safetensors")
    (tmp_path / "problem.json").write_text(json.dumps(PROBLEM))

    def few_images(*_: object) -> RawImages:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return RawImages(images, torch.arange(20) % 10, images, torch.arange(20) % 10)

    monkeypatch.setattr("xpert.training.datasets.cifar10.read", few_images)
    monkeypatch.setattr("xpert.experiment.pipeline.run_search", lambda *_, **__: tmp_path)

    def reproduced(_: object, out: Path, **__: object) -> None:
        out.mkdir(parents=True)
        (out / "table.md").write_text("reproduced\n")

    def made(_: object, folder: str, *__: object) -> None:
        shutil.copytree(run, folder)

    monkeypatch.setattr("xpert.experiment.comparison.reproduce", reproduced)
    monkeypatch.setattr("xpert.experiment.sweeps.make_run", made)
    monkeypatch.setattr("xpert.report.follow.Follower.serve_forever", lambda *_, **__: None)
    return tmp_path


def test_there_are_examples_of_every_command() -> None:
    assert {words.split()[1] for words in examples()} == {*COMMANDS}


@pytest.mark.parametrize("words", examples())
def test_an_example_runs(xpert: Callable, place: Path, request: pytest.FixtureRequest, words: str) -> None:
    if "chip.jsonl.gz" in words:
        write_reference(place / "chip.jsonl.gz", request.getfixturevalue("shared"))
    if "timm:" in words and importlib.util.find_spec("timm") is None:
        pytest.skip("needs timm")
    if ".onnx" in words:
        write_onnx(place / "net.onnx")
    if "solution.json" in words:
        (place / "solution.json").write_text(xpert("solve", "problem.json", "--json").stdout)
    _, command, *rest = shlex.split(words.partition(" > ")[0])
    done = xpert(command, *rest, *SLOW.get(command, []))
    assert done.code == 0, done.stderr
    assert "error" not in done.stderr


NUMBER = re.compile(r"(?<![\w.])-?\d[\d.,]*(?:e[-+]\d+)?x?(?![\w.])")

TABLES = [
    ["evaluate", "design.json"],
    ["evaluate", "design.json", "--variants"],
    ["evaluate", "config.yaml", "--sweep", "adc_type=sar,flash", "--sweep", "columns_per_adc=2,4", "--sweep",
     "rows=64,128"],
    ["evaluate", "config.yaml", "--sweep", "technology.node_nm=22,32", "--sweep", "r_on_ohm=20000,30000", "--sweep",
     "programming_sigma=0.05,0.1", "--sweep", "input_bit_density=0.3,0.5"],
    ["accuracy", "design.json", "--weights", "w.safetensors", "--dataset", "digits", "--ablation"],
    ["diagnose", "design.json", "--weights", "w.safetensors", "--dataset", "digits", "--set", "adc_range=full_scale"],
    ["compare", "runs/a", "runs/b", "design.json"],
    ["compare", "design.json", "runs/a/design.json", "--factors"],
    ["runs", "runs"],
    ["pick", "runs/a"],
    ["search", "--out", "runs/a", "--resume"],
    ["trace", "my_model.py:Net", "--input-shape", "3,32,32"],
    ["validate", "chip.jsonl.gz"],
    ["validate", "--silicon"],
    ["solve", "problem.json"],
    ["presets"],
    ["parts"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", TABLES, ids=" ".join)
def test_nothing_is_cut_at_80_columns(
    xpert: Callable,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    arguments: list[str],
) -> None:
    if "chip.jsonl.gz" in arguments:
        write_reference(place / "chip.jsonl.gz", request.getfixturevalue("shared"))
    arguments = [*arguments, *SLOW.get(arguments[0], [])]
    monkeypatch.setenv("COLUMNS", "300")
    wide = xpert(*arguments)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = xpert(*arguments)
    assert (narrow.code, narrow.stderr) == (wide.code, wide.stderr)
    assert "…" not in narrow.stdout
    lines = narrow.stdout.splitlines()
    # Sentences are the terminal's to break; tables have rules, which are as wide as they are.
    assert max((len(line) for line in lines if "──" in line), default=0) <= 80
    seen, shown = (Counter(NUMBER.findall(done.stdout)) for done in (wide, narrow))
    if arguments[0] not in {"accuracy", "solve"}:  # these tell times
        assert not seen - shown


def test_a_table_with_one_wide_column_breaks_its_words() -> None:
    console = Console(width=80)
    made = output.table("t", ["name", *(f"figure {index}" for index in range(12))], [["x" * 90, *["123456789"] * 12]])
    parts = [part for one in output.parts(made) for part in output.fitting_tables(one, console)]
    assert len(parts) > 2
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("123456789") == 12
