"""Images of the user's own: folders of pictures, TinyImageNet's layout, `.npz` files, torch data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xpert.errors import ConfigError, DataError
from xpert.networks import build
from xpert.networks.spaces import space
from xpert.training import Dataset, TrainingSettings, data, load_dataset, train
from xpert.training.source import DataRequest
from xpert.training.streaming import StreamedImages

CLASSES = ("cat", "dog", "eel")


def picture(seed: int, height: int = 16, width: int = 16, channels: int = 3) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return found[..., 0] if channels == 1 else found


def write_folder(folder: Path, count: int = 4, channels: int = 3, test: str = "val") -> Path:
    """`train` and `val` with so many PNG files a class."""
    for part, n_images in (("train", count), (test, 2)):
        for label, name in enumerate(CLASSES):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for index in range(n_images):
                seed = 1000 * (part == "train") + 100 * label + index
                Image.fromarray(picture(seed, channels=channels)).save(folder / part / name / f"{index:02}.png")
    return folder


def write_npz(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "train_images": np.stack([picture(i) for i in range(12)]),
        "train_labels": np.arange(12) % 3,
        "test_images": np.stack([picture(50 + i) for i in range(6)]),
        "test_labels": np.arange(6) % 3,
    }
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_folder_of_pictures_is_a_data_set(tmp_path: Path) -> None:
    found = load_dataset("imagefolder", write_folder(tmp_path))
    assert found.classes == CLASSES
    assert found.input_shape == (3, 16, 16)
    assert found.train_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert not found.mirror
    # Picture 1 of the dogs, to the bit.
    assert np.array_equal(found.train_images[5].permute(1, 2, 0).numpy(), picture(1101))
    shares = found.train_images.double() / 255
    assert found.mean == pytest.approx(shares.mean((0, 2, 3)).tolist())
    assert found.std == pytest.approx(shares.std((0, 2, 3), correction=0).tolist())


def test_what_is_no_picture_is_passed_over_and_test_comes_before_val(tmp_path: Path) -> None:
    folder = write_folder(write_folder(tmp_path), test="test")
    for name in (".hidden.png", "Thumbs.db", "notes.txt"):
        (folder / "train" / "cat" / name).write_bytes(b"no picture")
    Image.fromarray(picture(7)).save(folder / "test" / "cat" / "LAST.JPG", quality=95)
    found = load_dataset("imagefolder", folder)
    assert len(found.train_labels) == 12
    assert len(found.test_labels) == 7


def test_grey_pictures_have_one_channel_and_mixed_ones_three(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, channels=1)
    grey = load_dataset("imagefolder", folder)
    assert grey.input_shape == (1, 16, 16)
    assert np.array_equal(grey.train_images[0, 0].numpy(), picture(1000, channels=1))
    Image.fromarray(picture(3)).save(folder / "train" / "cat" / "00.png")
    mixed = load_dataset("imagefolder", folder)
    assert mixed.input_shape == (3, 16, 16)
    assert torch.equal(mixed.train_images[1, 0], mixed.train_images[1, 2])
    asked = load_dataset(DataRequest("imagefolder", folder, channels=1))
    assert asked.input_shape == (1, 16, 16)


def test_pictures_of_many_kinds_show_the_same(tmp_path: Path) -> None:
    """16 bits, palettes, transparency: white stays white and grey stays grey."""
    folder = write_folder(tmp_path)
    values = picture(3, channels=1)
    kinds = {
        "a.png": Image.fromarray(values.astype(np.uint16) * 257),
        "b.png": Image.fromarray(values),
        "c.png": Image.fromarray(np.dstack([values, values, values, np.full_like(values, 255)])),
        "d.png": Image.fromarray(values).convert("P"),
        "e.tif": Image.fromarray(values.astype(np.int32) * 257),
    }
    for name, image in kinds.items():
        image.save(folder / "train" / "cat" / name)
    found = load_dataset("imagefolder", folder)
    where = 4  # after the four of the folder, whose names begin with digits
    for place, name in enumerate(kinds, start=where):
        assert np.array_equal(found.train_images[place, 1].numpy(), values), name


def test_pictures_of_other_sizes_cover_the_size_that_is_asked_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 12:20] = 200  # the middle, which is what is left
    Image.fromarray(wide).save(folder / "val" / "eel" / "00.png")
    with pytest.raises(DataError, match=r"pictures differ in size \(00.png 16 x 16, 00.png 8 x 32\): .* dataset.size"):
        load_dataset("imagefolder", folder)
    found = load_dataset(DataRequest("imagefolder", folder, size=(8, 8)))
    assert found.input_shape == (3, 8, 8)
    assert (found.test_images[4] == 200).all()
    tall = load_dataset(DataRequest("imagefolder", folder, size=(16, 4)))
    assert tall.input_shape == (3, 16, 4)


def test_changed_files_are_seen(tmp_path: Path) -> None:
    """What is known of the headers is not what was known of files that have changed since."""
    folder = write_folder(tmp_path, channels=1)
    assert load_dataset("imagefolder", folder).input_shape == (1, 16, 16)
    for path in folder.rglob("*.png"):
        Image.fromarray(picture(0, 20, 20)).save(path)
    assert load_dataset("imagefolder", folder).input_shape == (3, 20, 20)


def broken(folder: Path) -> None:
    path = folder / "train" / "dog" / "02.png"
    path.write_bytes(path.read_bytes()[:200])


def not_a_picture(folder: Path) -> None:
    (folder / "val" / "dog" / "01.png").write_bytes(b"<html>")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).rename(folder / f".{name.replace('/', '-')}")


def one_class(folder: Path) -> None:
    for part in ("train", "val"):
        for name in CLASSES[1:]:
            without(f"{part}/{name}")(folder)


def no_pictures(folder: Path) -> None:
    for path in (folder / "train" / "cat").iterdir():
        path.unlink()


def all_black(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken, "train/dog/02.png: not a picture that can be read: .*truncated"),
        (not_a_picture, "val/dog/01.png: not a picture that can be read: cannot identify image file"),
        (without("val"), "must hold the folders train and test .or val.; has .val, train$"),
        (without("train"), "must hold the folders train and test"),
        (without("val/eel"), "train and val must have the same classes: val lacks eel$"),
        (without("train/cat"), "the same classes: train lacks cat$"),
        (one_class, "train: needs a folder for each class, two at least; has cat$"),
        (no_pictures, "train/cat: no pictures"),
        (all_black, "all training images are one and the same value in channel 0"),
    ],
)
def test_a_broken_folder_is_one_line(
    tmp_path: Path, change: Callable[[Path], None], message: str, streaming: bool
) -> None:
    folder = write_folder(tmp_path)
    change(folder)
    with pytest.raises(DataError, match=message) as error:
        load_dataset(DataRequest("imagefolder", folder, streaming=streaming))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["imagefolder", "tinyimagenet"])
def test_a_missing_folder_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="nothing: no such folder"):
        load_dataset(name, tmp_path / "nothing")


def write_tiny(folder: Path) -> Path:
    """Three classes of TinyImageNet's layout, with one grey picture."""
    root = folder / "tiny-imagenet-200"
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for label, name in enumerate(("n03", "n01", "n02")):
        (root / "train" / name / "images").mkdir(parents=True)
        (root / "train" / name / f"{name}_boxes.txt").write_text("n03_0.JPEG\t0\t0\t62\t62\n")
        for index in range(3):
            channels = 1 if (label, index) == (0, 1) else 3
            image = Image.fromarray(picture(10 * label + index, channels=channels))
            image.save(root / "train" / name / "images" / f"{name}_{index}.JPEG")
        Image.fromarray(picture(90 + label)).save(root / "val" / "images" / f"val_{label}.JPEG")
        lines.append(f"val_{label}.JPEG\t{name}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("n03\nn01\nn02\n")
    return root


@pytest.mark.parametrize("given_as", ["parent", "folder"])
def test_tinyimagenet_is_read_in_its_official_layout(tmp_path: Path, given_as: str) -> None:
    root = write_tiny(tmp_path)
    found = load_dataset("tinyimagenet", tmp_path if given_as == "parent" else root)
    assert found.classes == ("n01", "n02", "n03")
    assert found.input_shape == (3, 16, 16)
    assert found.train_labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert found.test_labels.tolist() == [2, 0, 1]
    decoded = np.asarray(Image.open(root / "val" / "images" / "val_1.JPEG"))
    assert np.array_equal(found.test_images[1].permute(1, 2, 0).numpy(), decoded)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("val_0.JPEG\tn09\t0\n", "line 1: must be a picture and one of the classes in train, got 'val_0.JPEG.*n09"),
        ("val_7.JPEG\tn01\t0\n", "val_7.JPEG: missing, but in val_annotations.txt"),
        ("../x.JPEG\tn01\t0\n", "line 1: must be a picture"),
        ("", "val_annotations.txt: empty"),
        (None, "val_annotations.txt: cannot be read: No such file"),
    ],
)
def test_a_broken_list_of_tinyimagenet_is_one_line(tmp_path: Path, lines: str | None, message: str) -> None:
    path = write_tiny(tmp_path) / "val" / "val_annotations.txt"
    path.unlink() if lines is None else path.write_text(lines)
    with pytest.raises(DataError, match=message):
        load_dataset("tinyimagenet", tmp_path)


@pytest.mark.parametrize("form", ["hwc", "chw", "float", "x_train", "column", "grey", "val"])
def test_arrays_in_many_forms_hold_the_same(tmp_path: Path, form: str) -> None:
    images, tests = (np.stack([picture(first + i) for i in range(n)]) for first, n in ((0, 12), (50, 6)))
    changes: dict[str, Any] = {
        "hwc": {},
        "chw": {"train_images": images.transpose(0, 3, 1, 2), "test_images": tests.transpose(0, 3, 1, 2)},
        "float": {"train_images": (images / 255).astype(np.float32), "test_images": tests / 255},
        "x_train": {
            **dict.fromkeys(("train_images", "train_labels", "test_images", "test_labels")),
            "x_train": images, "y_train": np.arange(12) % 3, "x_test": tests, "y_test": np.arange(6) % 3,
        },
        "column": {"train_labels": (np.arange(12) % 3)[:, None].astype(np.uint8)},
        "grey": {"train_images": images[..., 0], "test_images": tests[..., 0]},
        "val": {
            "val_images": tests, "val_labels": np.arange(6) % 3, "test_images": None, "test_labels": None,
        },
    }[form]  # fmt: skip
    found = load_dataset("npz", write_npz(tmp_path / "images.npz", **changes))
    expected = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.equal(found.train_images, expected[:, :1] if form == "grey" else expected)
    assert found.train_labels.tolist() == [0, 1, 2] * 4
    assert found.classes == ("0", "1", "2")
    assert torch.equal(found.test_images[5, 0], torch.from_numpy(tests[5, :, :, 0]))


def test_classes_of_arrays_may_have_names(tmp_path: Path) -> None:
    write_npz(tmp_path / "images.npz", classes=np.array(CLASSES))
    assert load_dataset("npz", tmp_path).classes == CLASSES


IMAGES = np.stack([picture(i) for i in range(12)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "must hold train_images, train_labels, test_images and test_labels .* holds"),
        ({"train_labels": np.zeros(12, int)}, "all training images are of one class"),
        ({"test_labels": np.array([0, 1, 2, 0, 1, 7])}, "image 5 of the test images has label 7, but there are 3 cl"),
        ({"train_labels": np.arange(12) - 1}, "train_labels: must be whole numbers from 0, got -1 for image 0"),
        ({"train_labels": np.arange(12) / 2}, "train_labels: must be whole numbers from 0, is float64"),
        ({"train_labels": np.arange(11)}, "train_labels: needs a label for each of 12 images, is 11"),
        ({"train_labels": np.array(["a"] * 12)}, "train_labels: must be whole numbers from 0, is <U1"),
        ({"train_labels": np.arange(12) % 2 * 2}, "no training image has label 1 of 0 ... 2"),
        ({"classes": np.array(["a", "b"])}, "image 2 of the training images has label 2, but there are 2 names of c"),
        ({"classes": np.arange(3)}, "classes: must be a list of names, is int64 of 1 axes"),
        ({"train_images": np.where(IMAGES > 250, np.nan, IMAGES / 255)}, "train_images: image 0 holds NaN or infinity"),
        ({"train_images": IMAGES / 127 - 1}, "image 0 has values -1 ... .* not normalised"),
        ({"train_images": IMAGES.astype(np.int16) * 2}, "image 0 has values 0 ... 5"),
        ({"train_images": IMAGES.astype(np.complex64)}, "must be bytes or floating-point numbers, is complex64"),
        ({"train_images": IMAGES.reshape(12, -1)}, "must be N,H,W or N,H,W,C or N,C,H,W, is 12,768"),
        ({"train_images": IMAGES[:0], "train_labels": np.zeros(0, int)}, "train_images: holds no images"),
        ({"test_images": IMAGES[:6, :8]}, "training images are 16 x 16 x 3, test images 8 x 16 x 3"),
        ({"train_images": np.array([object()] * 12)}, "Python objects, which are not unpickled"),
        ({"train_labels": np.array([object()] * 12)}, "Python objects, which are not unpickled"),
    ],
)
def test_broken_arrays_are_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_npz(tmp_path / "images.npz", **changes)
    with pytest.raises(DataError, match=message) as error:
        load_dataset("npz", path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut off"])
def test_a_file_that_is_no_npz_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "images.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"images.npz: cannot be read: .+"):
        load_dataset("npz", tmp_path)


def test_a_folder_has_one_npz(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be an \.npz file, or a folder with one; has none"):
        load_dataset("npz", tmp_path)
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name)
    with pytest.raises(DataError, match=r"has a\.npz, b\.npz"):
        load_dataset("npz", tmp_path)


def test_arrays_are_neither_scaled_nor_streamed(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "images.npz")
    with pytest.raises(DataError, match="images are 3 x 16 x 16; arrays are not scaled or converted"):
        load_dataset(DataRequest("npz", path, size=(8, 8)))
    with pytest.raises(ConfigError, match=r"dataset\.streaming: npz is read as a whole"):
        load_dataset(DataRequest("npz", path, streaming=True))


CODE = """\
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset


class Pictures(Dataset):
    classes = ["even", "odd"]

    def __init__(self, folder, count):
        self.folder, self.count = folder, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        values = np.random.default_rng(index).integers(0, 256, (12, 10, 3), dtype=np.uint8)
        return Image.fromarray(values), index % 2


def pictures(data_dir):
    assert data_dir.name == "here"
    return Pictures(data_dir, 8), Pictures(data_dir, 4)


def tensors():
    images = torch.arange(6 * 2 * 4 * 4).view(6, 2, 4, 4) / 255
    return {"train": TensorDataset(images, torch.arange(6) % 2), "val": TensorDataset(images[:4], torch.arange(4) % 2)}


def changing(train):
    return lambda: {"train": train, "test": TensorDataset(torch.rand(4, 3, 4, 4), torch.arange(4) % 2)}


class Odd(Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 2 and self.item == "raise":
            raise KeyError("gone")
        return self.item if index == 2 else (torch.rand(3, 4, 4), index % 2)


numbers = changing(42)
empty = changing([])
raising = changing(Odd("raise"))
no_pair = changing(Odd(7))
other_shape = changing(Odd((torch.zeros(3, 5, 4), 0)))
broken = changing(Odd((torch.full((3, 4, 4), torch.nan), 0)))
shifted = changing(Odd((torch.randn(3, 4, 4), 0)))
words = changing(Odd((torch.rand(3, 4, 4), "cat")))
soft = changing(Odd((torch.rand(3, 4, 4), torch.rand(2))))


def fails():
    raise RuntimeError("no disk")


def one():
    return Pictures(None, 3)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "my_data.py"
    path.write_text(CODE)
    return path


def test_torch_data_sets_of_pictures(code: Path) -> None:
    found = load_dataset(f"{code}:pictures", code.parent / "here")
    assert found.name == "pictures"
    assert found.classes == ("even", "odd")
    assert found.input_shape == (3, 12, 10)
    assert (len(found.train_labels), len(found.test_labels)) == (8, 4)
    expected = np.random.default_rng(5).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    assert np.array_equal(found.train_images[5].permute(1, 2, 0).numpy(), expected)
    small = load_dataset(DataRequest(f"{code}:pictures", code.parent / "here", size=(6, 6), channels=1))
    assert small.input_shape == (1, 6, 6)


def test_torch_data_sets_of_tensors(code: Path) -> None:
    found = load_dataset(f"{code}:tensors")
    assert found.classes == ("0", "1")
    assert torch.equal(found.train_images.flatten(), torch.arange(6 * 2 * 4 * 4, dtype=torch.uint8))
    assert found.test_labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("numbers", "training images: a int has no length"),
        ("empty", "training images: there are none"),
        ("raising", "training images: image 2: KeyError: 'gone'"),
        ("no_pair", r"training images: image 2: must be a pair \(image, label\), is a int"),
        ("other_shape", "training images: image 2 is 5 x 4 x 3, not 4 x 4 x 3 as the first"),
        ("broken", "training images: image 2 holds NaN or infinity"),
        ("shifted", "training images: image 2 has values -.* not normalised"),
        ("words", "training images: labels: must be whole numbers from 0"),
        ("soft", "training images: labels: must be whole numbers from 0"),
        ("fails", "RuntimeError: no disk .my_data.py, line"),
        ("one", "must give a pair of data sets .* gives a Pictures"),
        ("nothing", "no 'nothing' in .*my_data.py, which has Odd, Pictures"),
    ],
)
def test_what_code_gives_wrongly_is_one_line(code: Path, name: str, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message) as error:
        load_dataset(f"{code}:{name}")
    assert "\n" not in str(error.value)


# Streaming


@pytest.fixture(params=["imagefolder", "code"])
def both(request: pytest.FixtureRequest, tmp_path: Path, code: Path) -> tuple[Dataset, Dataset]:
    """A data set in memory, and streamed."""
    if request.param == "imagefolder":
        asked = DataRequest("imagefolder", write_folder(tmp_path / "pictures", count=9), workers=3)
    else:
        asked = DataRequest(f"{code}:pictures", tmp_path / "here", size=(16, 16))
    return load_dataset(replace(asked, streaming=False)), load_dataset(replace(asked, streaming=True))


def test_streamed_images_are_those_in_memory(both: tuple[Dataset, Dataset]) -> None:
    memory, streamed = (one.split(0.3, seed=2) for one in both)
    assert isinstance(streamed.train_images, StreamedImages)
    assert isinstance(memory.train_images, torch.Tensor)
    assert (streamed.mean, streamed.std) == (memory.mean, memory.std)
    for part in ("train", "validation", "test"):
        images = getattr(streamed, f"{part}_images")
        expected = getattr(memory, f"{part}_images")
        assert images.shape == expected.shape
        assert torch.equal(images.loaded(), expected)
        assert torch.equal(torch.cat(list(images[1:].split(2))), expected[1:])
        assert torch.equal(streamed.normalised(images[:3]), memory.normalised(expected[:3]))
        some = torch.tensor([1, 0])
        normalised = [
            list(one.in_batches(part)[some].split(1)) for one, part in ((streamed, images), (memory, expected))
        ]
        assert all(torch.equal(a, b) for a, b in zip(*normalised, strict=True))
        assert torch.equal(getattr(streamed, f"{part}_labels"), getattr(memory, f"{part}_labels"))


def test_streaming_trains_to_the_same_bits(both: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    weights = []
    for one in both:
        dataset = replace(one, mirror=True).split(0.3, seed=0)
        model = build(space("vgg11", [4], dataset.input_shape, dataset.num_classes).network((4,) * 8))
        settings = TrainingSettings(epochs=2, batch_size=4, cutout=4, calibration_images=8)
        train(model, dataset, settings, seed=1)
        weights.append(torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()]))
    assert torch.equal(*weights)


def test_an_interrupted_training_goes_on_with_streamed_images(tmp_path: Path) -> None:
    request = DataRequest("imagefolder", write_folder(tmp_path / "pictures", count=8), streaming=True)
    dataset = load_dataset(request).split(0.3, seed=0)
    settings = TrainingSettings(epochs=3, batch_size=4, calibration_images=8)

    class Stop(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.figures["event"] == "epoch" and progress.done == 2:
            raise Stop

    def model() -> torch.nn.Module:
        return build(space("vgg11", [4], dataset.input_shape, 3).network((4,) * 8))

    whole, parts = model(), model()
    train(whole, dataset, settings, seed=1)
    with pytest.raises(Stop):
        train(parts, dataset, settings, seed=1, checkpoint=tmp_path / "checkpoint", progress=stop)
    train(parts, dataset, settings, seed=1, checkpoint=tmp_path / "checkpoint")
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_large_data_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a quarter of the memory: 18 pictures of 768 bytes."""
    folder = write_folder(tmp_path)
    monkeypatch.setattr(data, "memory_bytes", lambda: 4 * 18 * 768)
    assert isinstance(load_dataset("imagefolder", folder).train_images, torch.Tensor)
    monkeypatch.setattr(data, "memory_bytes", lambda: 4 * 18 * 768 - 1)
    assert isinstance(load_dataset("imagefolder", folder).train_images, StreamedImages)
    monkeypatch.setattr(data, "memory_bytes", lambda: None)
    assert isinstance(load_dataset("imagefolder", folder).train_images, torch.Tensor)


def test_a_picture_that_breaks_later_is_named_and_threads_end(tmp_path: Path) -> None:
    import threading

    folder = write_folder(tmp_path)
    found = load_dataset(DataRequest("imagefolder", folder, streaming=True))
    broken(folder)
    with pytest.raises(DataError, match=r"train/dog/02\.png: not a picture"):
        list(found.train_images.split(4))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_progress_counts_images(tmp_path: Path) -> None:
    for streaming in (False, True):
        counts: list[Any] = []
        load_dataset(DataRequest("imagefolder", write_folder(tmp_path), streaming=streaming), progress=counts.append)
        assert (counts[-1].done, counts[-1].total, counts[-1].unit) == (18, 18, "image")
