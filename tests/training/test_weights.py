from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from xpert.errors import DataError, RunError
from xpert.networks import build, space
from xpert.training import load_weights, save_weights


def network(seed: int, width: int = 2) -> nn.Module:
    vgg = space("vgg11", (2,), (1, 16, 16), 2)
    return build(vgg.network((width,) * vgg.depth), generator=torch.Generator().manual_seed(seed))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_come_back_bit_by_bit(tmp_path: Path) -> None:
    source, target = network(0).to(memory_format=torch.channels_last), network(1)
    source(torch.rand(8, 1, 16, 16))
    save_weights(source, tmp_path / "weights.safetensors")
    assert not same(state(source), state(target))
    load_weights(target, tmp_path / "weights.safetensors")
    assert same(state(source), state(target))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(2, 2), r"the network needs 'conv1\.input_clip': these are the weights of another network"),
        (network(0, width=3), r"conv1\.weight must be torch.float32 \[2, 1, 3, 3\], is torch.float32 \[3, 1, 3, 3\]"),
        (network(0).double(), r"conv1\.\w+ must be torch.float32 .* is torch.float64"),
        (nn.Sequential(network(0), nn.Linear(2, 2)), "the network needs 'conv1"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, other: nn.Module, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(other, path)
    model = network(0)
    before = state(model)
    with pytest.raises(DataError, match=message):
        load_weights(model, path)
    assert same(state(model), before)


def test_superfluous_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Linear(2, 2), path)
    with pytest.raises(DataError, match="the network has no 'bias'"):
        load_weights(nn.Linear(2, 2, bias=False), path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_files_are_refused_in_one_line(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Linear(2, 2), path)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:cut] + data.draw(st.binary(max_size=max(0, len(content) - cut - 1))))
    model = nn.Linear(2, 2)
    before = state(model)
    with pytest.raises(DataError, match=r"weights\.safetensors: not a whole safetensors file") as error:
        load_weights(model, path)
    assert "\n" not in str(error.value)
    assert same(state(model), before)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.safetensors: no such weight file"):
        load_weights(nn.Linear(2, 2), tmp_path / "none.safetensors")
    with pytest.raises(DataError, match=f"{tmp_path.name}: cannot be read"):
        load_weights(nn.Linear(2, 2), tmp_path)
    with pytest.raises(RunError, match="cannot write"):
        save_weights(nn.Linear(2, 2), tmp_path / "none" / "weights.safetensors")
