"""Networks from Python code, and their weights."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from xpert.errors import ConfigError, DataError
from xpert.networks.sources import find_source, load_network, parse_source

CODE = """\
import torch
from torch import nn
from own_parts import width_of


class Net(nn.Module):
    input_shape = (2, 8, 8)

    def __init__(self, width=4, *, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(2, width_of(width), 3)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def make(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, classes)).double()


class Zoo:
    net = Net


def broken():
    raise RuntimeError("no luck")


def number():
    return 3


def leaves():
    raise SystemExit(3)


constant = 3
made = Net()
"""


@pytest.fixture
def code(tmp_path: Path) -> str:
    """A file of code, and a module beside it that it imports."""
    (tmp_path / "own_parts.py").write_text("def width_of(width):\n    return width\n")
    (tmp_path / "my_model.py").write_text(CODE)
    yield str(tmp_path / "my_model.py")
    sys.modules.pop("own_parts", None)


def test_a_class_with_arguments(code: str) -> None:
    loaded = load_network(f"{code}:Net", arguments={"width": 6, "classes": 5})
    assert (loaded.name, loaded.input_shape) == ("Net", (2, 8, 8))
    assert not loaded.module.training
    network = loaded.network()
    assert [(layer.name, layer.in_channels, layer.out_channels) for layer in network.layers] == [
        ("conv", 2, 6),
        ("fc", 6, 5),
    ]
    assert network.num_classes == 5
    # The same source twice has the same random weights, and the caller's random numbers stay as they are.
    state = torch.random.get_rng_state()
    again = load_network(f"{code}:Zoo.net", arguments={"width": 6, "classes": 5}).module
    assert torch.equal(again.conv.weight, loaded.module.conv.weight)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_function_and_a_module_that_is_installed(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_network(f"{code}:make", arguments={"classes": 4}, input_shape=(3, 2, 2))
    assert next(loaded.module.parameters()).dtype == torch.float32
    assert loaded.input_shape == (3, 2, 2)
    monkeypatch.chdir(Path(code).parent)
    assert load_network("my_model:Net").network().num_classes == 3
    assert load_network("torch.nn:Linear", arguments={"in_features": 4, "out_features": 2}, input_shape=(1, 1, 4))
    assert Path(code).parent not in map(Path, sys.path)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Nat", {}, "no 'Nat' in {file}, which has Net, Zoo, broken, leaves, make, number"),
        ("broken", {}, "RuntimeError: no luck (my_model.py, line 28)"),
        ("leaves", {}, "SystemExit: 3"),
        ("number", {}, "gives a int, not a torch.nn.Module"),
        ("constant", {}, "a int, which cannot be called"),
        ("made", {}, "made already"),
        ("make", {}, "missing a required argument: 'classes'; it takes (classes)"),
        ("Net", {"depth": 3}, "got an unexpected keyword argument 'depth'; it takes (width=4, *, classes=3)"),
        ("Net", {"width": "wide"}, "TypeError"),
        ("", {}, "names no network"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(code: str, name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_network(f"{code}:{name}", arguments=arguments, input_shape=(2, 8, 8))
    assert str(error.value).startswith(f"{code}:{name}: ")
    assert message.format(file=code) in str(error.value)
    assert "\n" not in str(error.value)


def test_code_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("def f(:\n")
    (tmp_path / "lacks.py").write_text("import no_such_package\n")
    for source, message in (
        (f"{tmp_path}/odd.py:f", "SyntaxError"),
        (f"{tmp_path}/lacks.py:f", "ModuleNotFoundError: No module named 'no_such_package'"),
        (f"{tmp_path}/none.py:f", "no such file"),
        ("no_such_package.models:f", "no module 'no_such_package'"),
        (f"{tmp_path}/odd.py", "name a class or function of it"),
        ("design.json", "not the source of a network"),
        ("timm:", "names no network"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            load_network(source)


def test_what_is_a_source() -> None:
    assert parse_source("timm:resnet18").kind == "timm"
    assert find_source("a.b:C.d").name == "C.d"
    assert find_source("runs/a/design.json") is None
    assert find_source("config.yaml") is None


def test_the_shape_of_images(code: str, tmp_path: Path) -> None:
    source = f"{code}:make"
    assert load_network(source, arguments={"classes": 2}, default_shape=(3, 2, 2)).input_shape == (3, 2, 2)
    with pytest.raises(ConfigError, match="give --input-shape"):
        load_network(source, arguments={"classes": 2})
    (tmp_path / "odd.py").write_text("from torch import nn\n\n\nclass Net(nn.Identity):\n    input_shape = 3\n")
    with pytest.raises(ConfigError, match="input_shape must be"):
        load_network(f"{tmp_path}/odd.py:Net")


class TestWeights:
    @pytest.fixture
    def module(self, code: str) -> nn.Module:
        module = load_network(f"{code}:Net").module
        with torch.no_grad():
            module.conv.weight.add_(1)
        return module

    @pytest.mark.parametrize("form", ["safetensors", "state", "checkpoint", "parallel", "half"])
    def test_forms(self, code: str, module: nn.Module, tmp_path: Path, form: str) -> None:
        state, path = module.state_dict(), tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
        if form == "safetensors":
            save_file(state, path)
        else:
            written = {
                "state": state,
                "checkpoint": {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
                "parallel": {f"module.{name}": value for name, value in state.items()},
                "half": {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
            }[form]
            torch.save(written, path)
        loaded = load_network(f"{code}:Net", weights=path).module
        for name, value in loaded.state_dict().items():
            assert value.dtype == state[name].dtype
            torch.testing.assert_close(value, state[name], rtol=1e-3 if form == "half" else 0, atol=1e-3)

    def test_nothing_but_tensors_is_read(self, code: str, module: nn.Module, tmp_path: Path) -> None:
        torch.save(Path("made"), tmp_path / "code.pt")
        with pytest.raises(DataError, match="holds more than tensors"):
            load_network(f"{code}:Net", weights=tmp_path / "code.pt")

    def test_other_files(self, code: str, module: nn.Module, tmp_path: Path) -> None:
        torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
        torch.save({"epoch": 3}, tmp_path / "none.pt")
        torch.save({}, tmp_path / "empty.pt")
        narrow = module.state_dict() | {"fc.weight": torch.zeros(3, 5)}
        torch.save(narrow, tmp_path / "narrow.pt")
        (tmp_path / "text.pt").write_text("no weights")
        for name, message in (
            ("other.pt", "the network needs 'conv.bias'"),
            ("none.pt", "'epoch' is a int"),
            ("empty.pt", "no state dict"),
            ("narrow.pt", r"fc.weight must be \[3, 4\], is \[3, 5\]"),
            ("text.pt", "not a weight file"),
            ("absent.pt", "no such weight file"),
            ("absent.safetensors", "no such weight file"),
        ):
            with pytest.raises(DataError, match=message):
                load_network(f"{code}:Net", weights=tmp_path / name)

    def test_weights_that_are_no_numbers(self, code: str, module: nn.Module, tmp_path: Path) -> None:
        module.norm.running_var[1] = float("nan")
        torch.save(module.state_dict(), tmp_path / "nan.pt")
        with pytest.raises(DataError, match=r"nan.pt: norm.running_var: 1 of 4 numbers are NaN or infinite"):
            load_network(f"{code}:Net", weights=tmp_path / "nan.pt")


class TestCatalogues:
    @pytest.fixture
    def timm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A package of that name with one network, whose functions are called as the real one's are."""

        class Small(nn.Sequential):
            default_cfg = {"input_size": (3, 16, 16)}  # noqa: RUF012

        def create_model(name: str, pretrained: bool = False, **options: int) -> nn.Module:
            module = Small(nn.Conv2d(options.get("in_chans", 3), 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
            assert name == "small"
            return module

        fake = ModuleType("timm")
        fake.list_models = lambda: ["small"]
        fake.create_model = create_model
        monkeypatch.setitem(sys.modules, "timm", fake)

    def test_a_network_by_name(self, timm: None) -> None:
        loaded = load_network("timm:small", arguments={"in_chans": 1})
        assert loaded.input_shape == (1, 16, 16)
        assert loaded.untrained
        assert load_network("timm:small", arguments={"pretrained": True}).untrained is None
        assert [layer.name for layer in loaded.network().layers] == ["0", "2"]
        with pytest.raises(ConfigError, match="timm has no network 'smol'; did you mean small"):
            load_network("timm:smol")

    @pytest.mark.parametrize("package", ["timm", "torchvision"])
    def test_a_package_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        with pytest.raises(ConfigError, match=rf'^{package}:resnet18: .*pip install .*"torchvision==0\.\d+\.\*"'):
            load_network(f"{package}:resnet18")

    @pytest.mark.parametrize("package", ["timm", "torchvision"])
    def test_the_real_ones(self, package: str) -> None:
        try:
            __import__(package)
        except Exception as error:  # noqa: BLE001 - a mismatched one fails in its own way
            pytest.skip(f"{package} cannot be imported: {error}")
        loaded = load_network(f"{package}:resnet18", arguments={"num_classes": 10})
        assert loaded.input_shape == (3, 224, 224)
        network = loaded.network()
        assert (len(network.layers), network.num_classes) == (21, 10)
