from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.errors import ConfigError, DataError
from xpert.training import Dataset, load_dataset
from xpert.training.data import augmented
from xpert.training.datasets import _cifar as cifar_layout
from xpert.training.datasets import cifar10

FOLDER = "cifar-10-batches-bin"
NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
RECORDS, RECORD = 20, 3073


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the official layout with 20 images instead of 10 000."""
    change_archive(monkeypatch, train=dict.fromkeys(NAMES[:-1], RECORDS), test={NAMES[-1]: RECORDS})


def change_archive(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setattr(cifar10, "_ARCHIVE", replace(cifar10._ARCHIVE, **changes))


def records(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    content = random.integers(0, 256, (RECORDS, RECORD), dtype=np.uint8)
    content[:, 0] = np.arange(RECORDS) % 10
    return content


def write_cifar(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        (folder / name).write_bytes(records(seed).tobytes())
    return folder


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_digits_are_all_there(digits: Dataset) -> None:
    assert digits.input_shape == (1, 32, 32)
    assert digits.num_classes == 10
    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert len(digits.validation_labels) == 0
    assert not digits.mirror
    for labels, images in (
        (digits.train_labels, digits.train_images),
        (digits.test_labels, digits.test_images),
    ):
        assert images.shape == (len(labels), 1, 32, 32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.dtype == torch.uint8
    share = digits.test_labels.bincount() / (digits.train_labels.bincount() + digits.test_labels.bincount())
    assert (share - 0.2).abs().max() < 0.005


def test_the_statistics_of_digits_are_those_of_its_images(digits: Dataset) -> None:
    shares = digits.train_images.float() / 255
    assert digits.mean == pytest.approx((shares.mean().item(),), rel=1e-6)
    assert digits.std == pytest.approx((shares.std().item(),), rel=1e-6)


def test_digits_are_images_of_digits(digits: Dataset) -> None:
    """The nearest class mean among enlarged images gets about nine in ten right, as on the original 8x8 ones."""
    train, test = digits.normalised(digits.train_images), digits.normalised(digits.test_images)
    means = torch.stack([train[digits.train_labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(test.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == digits.test_labels).float().mean() > 0.85
    assert digits.train_images.max() == 255


def test_normalised_images_have_zero_mean_and_unit_spread(digits: Dataset) -> None:
    images = digits.normalised(digits.train_images)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_split_holds_back_a_share_of_every_class(digits: Dataset, share: float) -> None:
    split = digits.split(share, seed=3)
    assert len(split.train_labels) + len(split.validation_labels) == len(digits.train_labels)
    counts = split.validation_labels.bincount()
    assert (counts / digits.train_labels.bincount() - share).abs().max() < 0.01
    assert torch.equal(split.test_images, digits.test_images)
    together = torch.cat([split.train_images, split.validation_images]).flatten(1)
    assert sorted(map(bytes, together.numpy())) == sorted(map(bytes, digits.train_images.flatten(1).numpy()))
    assert torch.equal(digits.split(share, seed=3).train_images, split.train_images)
    assert not torch.equal(digits.split(share, seed=4).train_labels, split.train_labels)


def test_a_second_split_starts_from_all_training_images(digits: Dataset) -> None:
    again = digits.split(0.5, seed=0).split(0.1, seed=0)
    assert len(again.train_labels) + len(again.validation_labels) == len(digits.train_labels)
    assert len(again.validation_labels) / len(digits.train_labels) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan"), 1e-6])
def test_impossible_splits_are_refused(digits: Dataset, share: float) -> None:
    with pytest.raises(ConfigError, match="validation"):
        digits.split(share, seed=0)


def test_unknown_data_sets_are_refused() -> None:
    with pytest.raises(
        ConfigError,
        match="dataset: must be one of cifar10, cifar100, digits, imagefolder, npz, tinyimagenet, got 'mnist'",
    ):
        load_dataset("mnist")


@settings(max_examples=30)
@given(shift=st.integers(0, 16), side=st.integers(17, 24), seed=st.integers(0, 99))
def test_augmented_images_are_shifted_and_mirrored(shift: int, side: int, seed: int) -> None:
    """Every result is one of the windows of the image, its edges mirrored by NumPy, or its mirror image as asked."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (6, 2, side, side), dtype=np.uint8)
    draws = torch.rand(4, 6, generator=torch.Generator().manual_seed(seed))
    flips = torch.tensor([True, False] * 3)
    views = augmented(torch.from_numpy(images), draws, shift, flips)
    assert views.shape == images.shape
    assert views.is_contiguous(memory_format=torch.channels_last)
    for image, view, flip in zip(images, views.numpy(), flips):
        padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
        windows = windows[..., ::-1] if flip else windows
        assert (windows == view[:, None, None]).all((0, 3, 4)).any()


def test_augmentation_uses_its_whole_range() -> None:
    marked = torch.zeros(4000, 1, 9, 9, dtype=torch.uint8)
    marked[:, 0, 4, 4] = 1
    draws = torch.rand(4, 4000, generator=torch.Generator().manual_seed(0))
    places = augmented(marked, draws, 2, torch.zeros(4000).bool()).sum(0)[0]
    assert (places[2:7, 2:7] > 100).all()
    assert places.sum() == places[2:7, 2:7].sum() == 4000


def test_cutout_blanks_a_square_anywhere() -> None:
    """Every pixel is blanked about equally often, less near the edges, over which the square may reach."""
    images = torch.zeros(4000, 1, 12, 12, dtype=torch.uint8)
    draws = torch.rand(4, 4000, generator=torch.Generator().manual_seed(0))
    blanked = augmented(images, draws, 0, torch.zeros(4000).bool(), cutout=4)[:, 0] == 128
    assert blanked.sum((1, 2)).max() == 16
    assert blanked.any(2).sum(1).max() == blanked.any(1).sum(1).max() == 4
    share = blanked.float().mean(0)
    assert share[4:8, 4:8].min() > 0.08 > share[0, 0] > 0
    assert share[4:8, 4:8].mean().item() == pytest.approx(16 / 144, rel=0.05)


@pytest.mark.parametrize("given_as", ["parent", "folder"])
def test_cifar10_is_read_in_its_official_layout(tmp_path: Path, given_as: str) -> None:
    folder = write_cifar(tmp_path / FOLDER)
    cifar = load_dataset("cifar10", tmp_path if given_as == "parent" else folder)
    assert cifar.input_shape == (3, 32, 32)
    assert cifar.classes[6] == "frog"
    assert len(cifar.train_labels) == 5 * RECORDS
    expected = records(3)
    # Image 7 of the fourth file: its label, and the green pixel in row 5, column 9.
    assert cifar.train_labels[3 * RECORDS + 7] == expected[7, 0]
    assert cifar.train_images[3 * RECORDS + 7, 1, 5, 9] == expected[7, 1 + 1024 + 5 * 32 + 9]
    for images in (cifar.train_images, cifar.split(0.5, 0).train_images, cifar.split(0.5, 0).validation_images):
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert cifar.test_images[2, 2, 31, 31] == records(5)[2, -1]


def test_data_dir_is_data_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path / "data" / FOLDER)
    assert len(load_dataset("cifar10").test_labels) == RECORDS


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write_cifar(tmp_path / FOLDER) / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing; CIFAR-10"):
        load_dataset("cifar10", tmp_path)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    path = write_cifar(tmp_path / FOLDER) / NAMES[2]
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"{NAMES[2]}: cannot be read: Is a directory"):
        load_dataset("cifar10", tmp_path)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch()
    with pytest.raises(DataError, match="must be a folder that holds cifar-10-batches-bin, is a file"):
        load_dataset("cifar10", path)


@settings(max_examples=30)
@given(data=st.data())
def test_broken_files_are_named_with_their_sizes(data: st.DataObject) -> None:
    """Cut off, prolonged or with a wrong label: never a data set, always one line that names the file."""
    with tempfile.TemporaryDirectory() as directory:
        folder = write_cifar(Path(directory) / FOLDER)
        path = folder / data.draw(st.sampled_from(NAMES))
        content = bytearray(path.read_bytes())
        full = len(content)
        if data.draw(st.booleans()):
            size = data.draw(st.integers(0, 2 * full).filter(lambda size: size != full))
            path.write_bytes(bytes(content[:size]).ljust(size, b"\0"))
            message = f"{path.name}: must have {full} bytes .* has {size}$"
        else:
            row, label = data.draw(st.integers(0, RECORDS - 1)), data.draw(st.integers(10, 255))
            content[row * RECORD] = label
            path.write_bytes(bytes(content))
            message = f"{path.name}: image {row}: label must be 0 ... 9, got {label}$"
        with pytest.raises(DataError, match=message) as error:
            load_dataset("cifar10", directory)
        assert "\n" not in str(error.value)


def test_missing_data_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, checksum: str, target: Path, names: tuple[str, ...], progress: object) -> None:
        assert url.startswith("https://")
        assert checksum.startswith("md5:")
        assert list(names) == NAMES
        assert progress is None
        write_cifar(target)

    monkeypatch.setattr(cifar_layout, "fetch_archive", fetch)
    assert len(load_dataset("cifar10", tmp_path).train_labels) == 5 * RECORDS
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]
