"""Images of the user's own on the command line: searched for, measured on, refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from xpert.experiment.config import SearchConfig, search_space

CODE = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of 16 x 20 whose class is the channel that is bright."""
    random = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 8)):
        for label, name in enumerate(("red", "green", "blue")):
            (place := tmp_path / "pictures" / part / name).mkdir(parents=True)
            for index in range(count):
                values = random.integers(0, 120, (16, 20, 3), dtype=np.uint8)
                values[..., label] += 120
                Image.fromarray(values).save(place / f"{index}.png")
    return tmp_path / "pictures"


def write_config(path: Path, **dataset: object) -> Path:
    config = {
        "name": "pictures",
        "threads": 1,
        "network": {"backbone": "vgg11", "choices": [8, 16]},
        "dataset": dataset,
        "periphery": {"columns_per_adc": [4, 16]},
        "architecture": {"minimum_quality": 0.5, "front_points": 0},
        "training": {"epochs": 4, "batch_size": 8, "learning_rate": 0.02, "calibration_images": 8},
        "precision": {
            "adc_bits": [4, 6], "input_bits": [4, 8], "images": 8, "calibration_images": 8, "chips": 1,
            "confirmation_images": 0, "maximum_drop": 0.5,
        },
        "evaluation": {"chips": 1},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_search_on_a_folder_of_pictures(xpert: Callable, folder: Path, tmp_path: Path) -> None:
    """Searched, measured again, resumed, and refused when the pictures are others; in memory and streamed the same."""
    runs = {}
    for streaming in (False, True):
        config = write_config(
            tmp_path / "c.yaml", name="imagefolder", data_dir=str(folder), size=[16, 16], streaming=streaming
        )
        run = tmp_path / f"run-{streaming}"
        outcome = xpert("search", config, "--out", run)
        assert (outcome.code, outcome.stderr) == (0, "")
        design = json.loads((run / "design.json").read_text())
        assert design["network"]["input_shape"] == [3, 16, 16]
        assert design["network"]["num_classes"] == 3
        runs[streaming] = design, (run / "weights.safetensors").read_bytes(), (run / "images.json").read_text()
    assert runs[False] == runs[True]
    kept = json.loads(runs[True][2])
    assert kept["classes"] == ["blue", "green", "red"]
    assert (kept["train"] + kept["validation"], kept["test"]) == (72, 24)
    assert kept["mean"] == pytest.approx([(59.5 + 40) / 255] * 3, abs=0.01)

    # The shape of pictures comes from the design.
    weights = ("--weights", run / "weights.safetensors", "--dataset", "imagefolder", "--data-dir", folder)
    outcome = xpert("accuracy", run / "design.json", *weights, "--chips", "1", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.stdout)["ideal"] > 0.6
    assert xpert("evaluate", run / "design.json", *weights).code == 0

    assert xpert("search", "--out", run, "--resume").code == 0
    (run / "state" / "evaluation.json").unlink(missing_ok=True)
    (folder / "train" / "red" / "0.png").unlink()
    outcome = xpert("search", "--out", run, "--resume")
    assert outcome.code == 2
    assert "images.json: the images are not those that the run began with: mean was" in outcome.stderr

    # A finished run is looked at without its pictures.
    folder.rename(tmp_path / "gone")
    assert xpert("report", run).code == 0
    outcome = xpert("search", "--out", run, "--resume")
    assert (outcome.code, outcome.stderr) == (2, f"xpert: error: {folder}: no such folder of pictures\n")


def test_networks_of_ones_own_on_pictures_of_ones_own(xpert: Callable, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(CODE)
    net = f"{tmp_path}/my_model.py:Net"
    few = ("--chips", "1", "--calibration-images", "8", "--json")
    from torch import save

    from xpert.networks.sources import load_network

    save(load_network(net, input_shape=(3, 16, 16)).module.state_dict(), tmp_path / "w.pt")
    data = ("--weights", tmp_path / "w.pt", "--dataset", "imagefolder", "--data-dir", folder)
    outcome = xpert("accuracy", net, *data, "--input-shape", "3,16,16", *few)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert json.loads(outcome.stdout)["images"] == 24
    config = {
        "name": "own",
        "network": {"source": "my_model.py:Net", "weights": "w.pt"},
        "dataset": {"name": "my_data.py:factory", "size": [16, 16]},
    }
    (tmp_path / "my_data.py").write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n\n\ndef factory():\n"
        "    images = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))\n"
        "    return (TensorDataset(images, torch.arange(12) % 3),) * 2\n"
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    outcome = xpert("accuracy", tmp_path / "config.json", "--dataset", f"{tmp_path}/my_data.py:factory", *few)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert json.loads(outcome.stdout)["images"] == 12


def test_a_network_for_images_of_another_size_is_refused_before_there_is_a_folder(
    xpert: Callable, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "my_model.py").write_text(CODE)
    config = {
        "name": "own",
        "network": {"source": "my_model.py:Net", "input_shape": [3, 16, 16]},
        "dataset": {"name": "imagefolder", "data_dir": str(folder), "size": [20, 20]},
        "architecture": {"quality": "macs"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    outcome = xpert("search", tmp_path / "config.json", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "takes inputs of [3, 16, 16], the images of dataset are [3, 20, 20]; give network" in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_backbones_follow_the_images(folder: Path, tmp_path: Path) -> None:
    config = SearchConfig.read(
        write_config(tmp_path / "c.yaml", name="imagefolder", data_dir=str(folder), size=[32, 32], channels=1)
    )
    found = search_space(config)
    assert (found.input_shape, found.num_classes) == ((1, 32, 32), 3)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"name": "imagefolder", "data_dir": "nowhere"}, "nowhere: no such folder of pictures"),
        ({"name": "npz", "data_dir": "nowhere.npz"}, "nowhere.npz: must be an .npz file, or a folder with one; has"),
        ({"name": "imagefolder", "data_dir": "PICTURES"}, "vgg11 takes square images of a multiple of 16, got 16x20"),
        ({"name": "none.py:factory"}, "no such file"),
        ({"name": "no_such_module:factory"}, "no module 'no_such_module' is installed"),
        ({"name": "mnist"}, "dataset.name: must be one of cifar10, cifar100, digits, imagefolder, npz, tinyimagenet"),
        ({"name": "digits", "size": [64, 64]}, "dataset: size: images of digits are (32, 32), and are not changed"),
        ({"name": "digits", "channels": 3}, "dataset: channels: images of digits are 1, and are not changed"),
        ({"name": "digits", "streaming": True}, "dataset.streaming: digits is read as a whole"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_on_is_one_line(
    refusal: Callable, folder: Path, tmp_path: Path, dataset: dict[str, object], message: str
) -> None:
    if dataset.get("data_dir") == "PICTURES":
        dataset = dataset | {"data_dir": str(folder)}
    config = write_config(tmp_path / "c.yaml", **dataset)
    assert message in refusal("search", config, "--out", tmp_path / "run")
