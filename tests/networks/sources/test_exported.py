"""Networks from files of torch.export."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError, DataError
from xpert.networks.sources import load_network

pytestmark = pytest.mark.filterwarnings("ignore")


class Small(nn.Module):
    """A depthwise layer, a gate, a parameter of its own, a buffer, a skip and a view."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, (2, 1), 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.gate = nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8).reshape(8, 1, 1))
        self.register_buffer("shift", torch.arange(3.0))
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x) * self.scale
        x = x + self.depthwise(x) * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        x = F.max_pool2d(self.up(x), 4)
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.fc(x.reshape(x.shape[0], -1)[:, : 8 * 16]) + self.shift.sum()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = Small()
        for _ in range(3):  # statistics of the batch norm
            module(torch.randn(4, 3, 16, 16))
    # Kernels whose channels lie last in memory are the usual case of fast training.
    return module.eval().to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(module: nn.Module, images: Tensor, *, open_batch: bool = False, decomposed: bool = False) -> str:
        shapes = ({0: torch.export.Dim("n")},) if open_batch else None
        program = torch.export.export(module, (images,), dynamic_shapes=shapes)
        if decomposed:
            program = program.run_decompositions()
        path = tmp_path / "net.pt2"
        torch.export.save(program, path)
        return str(path)

    return write


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("batch", [1, 2, "open"])
def test_it_is_the_same_network(small: nn.Module, images: Tensor, save: Save, batch: Any, decomposed: bool) -> None:
    example = images[: 2 if batch == "open" else batch]
    loaded = load_network(save(small, example, open_batch=batch == "open", decomposed=decomposed))
    assert (loaded.name, loaded.input_shape) == ("net", (3, 16, 16))
    with torch.no_grad():
        torch.testing.assert_close(loaded.module(images), small(images), rtol=1e-5, atol=1e-5)
    assert not loaded.module.one_by_one
    # Layers have the names of their modules, and their weights.
    named, own = dict(loaded.module.named_modules()), dict(small.named_modules())
    for name in ("features.0", "features.1", "depthwise", "up", "gate", "fc"):
        assert type(named[name]) is type(own[name])
        assert torch.equal(named[name].weight, own[name].weight)
    assert torch.equal(loaded.module.state_dict()["scale"], small.scale)


def test_weights_of_another_training(small: nn.Module, images: Tensor, save: Save, tmp_path: Path) -> None:
    class Plain(nn.Sequential):
        pass

    first, second = (Plain(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2)).eval() for _ in range(2))
    path = save(first, images[:1])
    torch.save(second.state_dict(), tmp_path / "second.pt")
    loaded = load_network(path, weights=tmp_path / "second.pt")
    torch.testing.assert_close(loaded.module(images), second(images))


def test_open_sizes(images: Tensor, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    side = torch.export.Dim("side", min=4)
    program = torch.export.export(module, (images[:1],), dynamic_shapes=({2: side, 3: side},))
    torch.export.save(program, tmp_path / "net.pt2")
    assert load_network(str(tmp_path / "net.pt2")).input_shape == (3, 16, 16)
    assert load_network(str(tmp_path / "net.pt2"), input_shape=(3, 9, 9)).input_shape == (3, 9, 9)
    with pytest.raises(ConfigError, match=r"takes inputs of 3,\?,\?, not 1,9,9"):
        load_network(str(tmp_path / "net.pt2"), input_shape=(1, 9, 9))


def entries(path: str) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(path: str, content: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def program_of(content: dict[str, bytes]) -> tuple[str, dict[str, Any]]:
    name = next(name for name in content if name.endswith("models/model.json"))
    return name, json.loads(content[name])


def test_older_layouts(small: nn.Module, images: Tensor, save: Save) -> None:
    """One state dict for all weights; and the zip without an archive, whose arguments do not say how they are given."""
    path = save(small, images[:1])
    content = entries(path)
    if "serialized_exported_program.json" in content:
        pytest.skip("this torch writes the oldest layout itself")
    name, program = program_of(content)
    prefix = name.removesuffix("models/model.json")
    state = saved(dict(small.state_dict()))
    kept = {key: data for key, data in content.items() if "data/weights/" not in key}
    loaded = load_network(rewritten(path, kept | {f"{prefix}data/weights/model.pt": state}))
    torch.testing.assert_close(loaded.module(images), small(images), rtol=1e-5, atol=1e-5)
    for node in program["graph_module"]["graph"]["nodes"]:
        for entry in node["inputs"]:
            entry.pop("kind")
    old = {"serialized_exported_program.json": json.dumps(program).encode(), "version": b"7.3"}
    old |= {"serialized_state_dict.pt": state, "serialized_constants.pt": saved({})}
    loaded = load_network(rewritten(path, old))
    torch.testing.assert_close(loaded.module(images), small(images), rtol=1e-5, atol=1e-5)


class Command:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_nothing_is_unpickled(small: nn.Module, images: Tensor, save: Save, tmp_path: Path) -> None:
    path = save(small, images[:1])
    content = entries(path)
    evil = saved({"scale": Command(tmp_path / "made")})
    samples = {name: evil if "sample_inputs" in name else data for name, data in content.items()}
    assert any("sample_inputs" in name for name in content)
    load_network(rewritten(path, samples))  # examples of inputs are not needed
    name, _ = program_of(content)
    weights = {key: data for key, data in content.items() if "data/weights/" not in key}
    weights[f"{name.removesuffix('models/model.json')}data/weights/model.pt"] = evil
    with pytest.raises(DataError, match="holds more than tensors"):
        load_network(rewritten(path, weights))
    assert not (tmp_path / "made").exists()


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, bytes]], None]:
    def apply(content: dict[str, bytes]) -> None:
        name, program = program_of(content)
        change(program["graph_module"])
        content[name] = json.dumps(program).encode()

    return apply


def without(word: str) -> Callable[[dict[str, bytes]], None]:
    def apply(content: dict[str, bytes]) -> None:
        for name in [name for name in content if word in name]:
            del content[name]

    return apply


def shortened(content: dict[str, bytes]) -> None:
    name = next(name for name in content if name.endswith("weights/weight_1"))
    content[name] = content[name][:-4]


def retarget(target: str) -> Callable[[dict[str, bytes]], None]:
    return changed(lambda module: module["graph"]["nodes"][0].__setitem__("target", target))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            retarget("torch.ops.aten.bernoulli_.float"),
            r"aten.bernoulli_.float \(node 0, features.0\): this operator is not",
        ),
        (
            retarget("torch.ops.my_library.conv.default"),
            r"my_library.conv.default \(node 0, features.0\): this operator",
        ),
        (retarget("os.system"), r"os.system \(node 0, features.0\): this operator is not read"),
        (retarget("torch.ops.aten.conv2d.odd"), "not a whole .pt2 file"),
        (without("models/"), "no program of torch.export"),
        (without("weights_config"), "lacks data/weights/model_weights_config.json"),
        (without("weights/weight_3"), "lacks data/weights/weight_3"),
        (shortened, "weight_1 is shorter than its sizes say"),
        (changed(lambda module: module.pop("signature")), "not a whole .pt2 file: KeyError: 'signature'"),
        (changed(lambda module: module["graph"]["nodes"].pop(0)), "'conv2d' is used before it is there"),
    ],
)
def test_broken_files(
    small: nn.Module, images: Tensor, save: Save, change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    path = save(small, images[:1])
    content = entries(path)
    change(content)
    with pytest.raises((ConfigError, DataError), match=message) as error:
        load_network(rewritten(path, content))
    assert "\n" not in str(error.value)


def test_files_that_are_none(small: nn.Module, images: Tensor, save: Save, tmp_path: Path) -> None:
    path = Path(save(small, images[:1]))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"not a \.pt2 file"):
        load_network(str(path))
    with pytest.raises(DataError, match=r"no such \.pt2 file"):
        load_network(str(tmp_path / "none.pt2"))
    torch.save({}, tmp_path / "state.pt2")
    with pytest.raises(DataError, match=r"no program of torch.export"):
        load_network(str(tmp_path / "state.pt2"))


def test_what_changes_while_it_runs(images: Tensor, save: Save) -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.seen.add_(1)
            return x * self.seen

    with pytest.raises(ConfigError, match="changes a weight or buffer while it runs"):
        load_network(save(Counts(), images[:1]))
    with pytest.raises(ConfigError, match="was it exported in evaluation mode"):
        load_network(save(nn.Sequential(nn.BatchNorm2d(3)).train(), images))


def test_two_inputs(images: Tensor, tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, factor: Tensor) -> Tensor:
            return x * factor

    program = torch.export.export(Two(), (images[:1], torch.tensor(2.0)))
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = load_network(str(tmp_path / "net.pt2"), arguments={"factor": 3.0})
    assert torch.equal(loaded.module(images), 3 * images)
    with pytest.raises(ConfigError, match=r"takes x, factor: one input is the image, .*--argument"):
        load_network(str(tmp_path / "net.pt2"))
