"""CIFAR-100, in files of its official layout with few images."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.training import load_dataset
from xpert.training.datasets import cifar100

FOLDER = "cifar-100-binary"
IMAGES = {"train.bin": 200, "test.bin": 100}
RECORD = 2 + 3072


def records(name: str) -> np.ndarray:
    """<coarse label><fine label><1024 red><1024 green><1024 blue>, each plane row by row."""
    content = np.random.default_rng(len(name)).integers(0, 256, (IMAGES[name], RECORD), dtype=np.uint8)
    content[:, 0] = np.arange(IMAGES[name]) % 20
    content[:, 1] = np.arange(IMAGES[name]) % 100
    return content


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small = replace(cifar100._ARCHIVE, train={"train.bin": IMAGES["train.bin"]}, test={"test.bin": IMAGES["test.bin"]})
    monkeypatch.setattr(cifar100, "_ARCHIVE", small)
    (tmp_path / FOLDER).mkdir()
    for name in IMAGES:
        (tmp_path / FOLDER / name).write_bytes(records(name).tobytes())
    return tmp_path / FOLDER


@pytest.mark.parametrize("given_as", ["parent", "folder"])
def test_it_is_read_in_its_official_layout(folder: Path, given_as: str) -> None:
    cifar = load_dataset("cifar100", folder.parent if given_as == "parent" else folder)
    assert (cifar.input_shape, cifar.num_classes) == ((3, 32, 32), 100)
    assert (len(cifar.train_labels), len(cifar.test_labels)) == (200, 100)
    expected = records("train.bin")
    assert cifar.train_labels[142] == 42  # the fine label, not the coarse one, 2
    assert cifar.classes[42] == "leopard"
    assert cifar.train_images[142, 1, 5, 9] == expected[142, 2 + 1024 + 5 * 32 + 9]
    assert cifar.test_images[3, 2, 31, 31] == records("test.bin")[3, -1]
    shares = expected[:, 2:].reshape(-1, 3, 1024) / 255
    assert cifar.mean == pytest.approx(shares.mean((0, 2)))
    assert cifar.std == pytest.approx(shares.std((0, 2)))
    assert cifar.mirror


def test_a_hundred_classes_in_alphabetical_order() -> None:
    classes = cifar100.DATASET.info.classes
    assert len(classes) == 100
    assert list(classes) == sorted(classes)
    assert [name for name, count in Counter(classes).items() if count > 1] == []


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("size", [0, RECORD - 1, -1, 1])
def test_files_of_another_size_are_refused(folder: Path, name: str, size: int) -> None:
    """Cut off or prolonged; and files of CIFAR-10's layout, with one label byte."""
    content = (folder / name).read_bytes()
    wrong = content + b"\0" if size == 1 else content[:size]
    (folder / name).write_bytes(wrong)
    with pytest.raises(DataError, match=f"{name}: must have {len(content)} bytes .* has {len(wrong)}$"):
        load_dataset("cifar100", folder)


@pytest.mark.parametrize(("byte", "label", "message"), [
    (0, 20, "image 7: coarse label must be 0 ... 19, got 20"),
    (1, 100, "image 7: fine label must be 0 ... 99, got 100"),
])  # fmt: skip
def test_labels_out_of_range_are_refused(folder: Path, byte: int, label: int, message: str) -> None:
    content = records("train.bin")
    content[7, byte] = label
    (folder / "train.bin").write_bytes(content.tobytes())
    with pytest.raises(DataError, match=f"train.bin: {re.escape(message)}$"):
        load_dataset("cifar100", folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "test.bin").unlink()
    with pytest.raises(DataError, match=r"test.bin: missing; CIFAR-100 \(binary version\) needs test.bin"):
        load_dataset("cifar100", folder)


def test_offline_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A port on which nothing listens.
    monkeypatch.setattr(cifar100, "_ARCHIVE", replace(cifar100._ARCHIVE, url="http://127.0.0.1:9/cifar-100"))
    with pytest.raises(DataError, match=f"{FOLDER}: missing, and http.* cannot be fetched .*by hand"):
        load_dataset("cifar100", tmp_path)
