from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError, RunError
from xpert.networks.quantised import QuantConv2d, QuantLinear, quantised_layers
from xpert.progress import Progress
from xpert.tensors import read_tensors, write_tensors
from xpert.training import Dataset, Disturbance, TrainingSettings, accuracy, train
from xpert.training.loop import _Lookahead, bfloat16_is_native, learning_rate, training_operations, weight_bound

MakeModel = Callable[[], nn.Module]
SETTINGS = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.05, precision="float32", calibration_images=64)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def curves_without_times(result: Any) -> list[dict[str, Any]]:
    times = {"seconds", "images_per_second"}
    return [{key: value for key, value in row.items() if key not in times} for row in result.curves]


class Killed(Exception):
    pass


def test_it_learns(make_model: MakeModel, stripes: Dataset) -> None:
    model = make_model()
    result = train(model, stripes, SETTINGS.replace(epochs=12), seed=0)
    losses = [row["loss"] for row in result.curves]
    assert losses[-1] < losses[0] - 0.2
    assert result.curves[-1]["validation_accuracy"] > 0.9
    assert accuracy(model, stripes.normalised(stripes.test_images), stripes.test_labels) > 0.9
    assert result.precision == "float32"
    assert result.seconds == pytest.approx(sum(row["seconds"] for row in result.curves))


def test_the_seed_decides(make_model: MakeModel, stripes: Dataset) -> None:
    def weights(seed: int, **changes: Any) -> dict[str, Tensor]:
        model = make_model()
        train(model, stripes, SETTINGS.replace(**{"epochs": 1, **changes}), seed=seed)
        return state(model)

    first = weights(0)
    torch.rand(3)
    assert_same(weights(0), first)
    assert not torch.equal(weights(1)["conv1.weight"], first["conv1.weight"])
    # Noise is drawn apart: the data order stays, the weights differ.
    assert not torch.equal(weights(0, weight_noise=0.1)["conv1.weight"], first["conv1.weight"])


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4])
def test_a_killed_training_ends_with_the_same_bits(
    make_model: MakeModel, stripes: Dataset, tmp_path: Path, killed_after: int
) -> None:
    """With everything random switched on, dropout included, killed in the middle of the next epoch."""
    settings = SETTINGS.replace(weight_noise=0.05)

    def with_dropout() -> nn.Module:
        return nn.Sequential(nn.Dropout(0.1), make_model())

    unbroken = with_dropout()
    expected = train(unbroken, stripes, settings, seed=5)

    checkpoint = tmp_path / "training.safetensors"
    steps = 0

    class Fragile(nn.Module):
        """Dies in the middle of an epoch."""

        def forward(self, image: Tensor) -> Tensor:
            nonlocal steps
            steps += self.training
            # One forward pass of calibration comes before three steps per epoch.
            if steps == 1 + 3 * killed_after + 2:
                raise Killed
            return image

    killed = with_dropout()
    fragile = nn.Sequential(Fragile(), *killed)
    if killed_after < settings.epochs:
        with pytest.raises(Killed):
            train(fragile, stripes, settings, seed=5, checkpoint=checkpoint)
    else:
        train(fragile, stripes, settings, seed=5, checkpoint=checkpoint)
    assert all(layer.weight_noise is None for layer in quantised_layers(fragile).values())

    torch.rand(7)
    fresh = with_dropout()
    resumed = nn.Sequential(nn.Identity(), *fresh)
    reports: list[Progress] = []
    result = train(resumed, stripes, settings, seed=5, checkpoint=checkpoint, progress=reports.append)
    assert_same(state(fresh), state(unbroken))
    assert curves_without_times(result) == curves_without_times(expected)
    assert [report.done for report in reports if report.figures["event"] == "epoch"] == list(range(killed_after + 1, 5))


@pytest.mark.parametrize("killed_at", [2, 5, 7, 12])
def test_a_training_killed_within_an_epoch_goes_on_from_its_last_step(
    make_model: MakeModel, stripes: Dataset, tmp_path: Path, killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint after every step: no step is done twice, and every bit is as in an unbroken training."""
    monkeypatch.setattr("xpert.training.loop._SECONDS_BETWEEN_CHECKPOINTS", -1)
    settings = SETTINGS.replace(weight_noise=0.05, lookahead=True, cutout=4)
    unbroken = make_model()
    expected = train(unbroken, stripes, settings, seed=5)
    steps: list[int] = []

    def count(step: int) -> Disturbance:
        def before_step(_: torch.Generator) -> None:
            if len(steps) == step:
                raise Killed
            steps.append(step)

        return Disturbance(before_step=before_step)

    checkpoint = tmp_path / "training.safetensors"
    if killed_at < 12:
        with pytest.raises(Killed):
            train(make_model(), stripes, settings, seed=5, checkpoint=checkpoint, disturbance=count(killed_at))
    else:
        train(make_model(), stripes, settings, seed=5, checkpoint=checkpoint, disturbance=count(99))
    resumed = make_model()
    result = train(resumed, stripes, settings, seed=5, checkpoint=checkpoint, disturbance=count(99))
    assert len(steps) == 12
    assert_same(state(resumed), state(unbroken))
    assert curves_without_times(result) == curves_without_times(expected)


def test_lookahead_returns_part_of_the_way_and_ends_on_the_mean(make_model: MakeModel) -> None:
    """Against its definition, with weights that move by 1 in every step."""
    model = make_model()
    slow = _Lookahead(model)
    start = state(model)
    mean = 0.0  # of the way from the start
    for step in range(1, 13):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        slow.update(step, 12)
        if step % 5 == 0:
            mean += 5 * (1 - 0.95**5 * (step / 12) ** 3)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, start[name] + mean)


def test_weights_are_held_within_their_deviations(make_model: MakeModel, stripes: Dataset) -> None:
    free, held = make_model(), make_model()
    train(free, stripes, SETTINGS, seed=0)
    train(held, stripes, SETTINGS.replace(weight_clip=1.5), seed=0)

    def reach(model: nn.Module) -> Tensor:
        weights = [layer.weight.detach() for layer in quantised_layers(model).values()]
        return torch.stack([weight.abs().max() / weight.std() for weight in weights])

    assert (reach(held) < 1.8).all()  # the clamp itself lowers the deviation
    assert (reach(free) > 1.8).sum() >= 8
    assert accuracy(held, stripes.normalised(stripes.test_images), stripes.test_labels) > 0.7


def test_the_bound_on_weights_narrows_in_half_of_the_steps() -> None:
    settings = SETTINGS.replace(weight_clip=2.0, weight_clip_start=8.0)
    assert [weight_bound(step, 8, settings) for step in range(8)] == pytest.approx(
        [8 * 4 ** (-step / 4) for step in range(4)] + 4 * [2.0]
    )
    assert {weight_bound(step, 8, SETTINGS.replace(weight_clip=2.0)) for step in range(8)} == {2.0}


def test_images_are_mirrored_in_every_second_epoch(stripes: Dataset) -> None:
    """Each image is seen both ways in two epochs: half of them mirrored in the first, the other half in the second."""
    marked = torch.zeros(96, 1, 16, 16, dtype=torch.uint8)
    marked[:, 0, 0, 0] = torch.arange(1, 97)
    dataset = replace(stripes, train_images=marked, mean=(0.0,), std=(1.0,))
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 1))

        def forward(self, image: Tensor) -> Tensor:
            if self.training:
                seen.append((image[:, 0, 0] * 255).round())
            return self.weight[:, 0] * image.mean((1, 2, 3))[:, None]

    changes = {"epochs": 2, "shift": 0, "calibration_images": 0, "batch_size": 32}
    train(Watching(), dataset, SETTINGS.replace(**changes), seed=0)
    first, second = ({int(row.max()): bool(row[0] == 0) for row in torch.cat(seen[a : a + 3])} for a in (0, 3))
    assert first.keys() == second.keys() == set(range(1, 97))
    assert all(first[image] != second[image] for image in first)
    assert 30 < sum(first.values()) < 66


def test_operations_of_a_training_are_counted(make_model: MakeModel, stripes: Dataset) -> None:
    """One 3x3 convolution and a linear layer by hand: all products three times, the first layer's twice."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 16 * 16, 2))
    conv, linear = 2 * 9 * 4 * 256, 2 * 1024 * 2
    assert training_operations(model, (1, 16, 16)) == 2 * conv + 3 * linear
    result = train(model, stripes, SETTINGS.replace(calibration_images=0, epochs=2), seed=0)
    assert result.operations == 2 * 96 * (2 * conv + 3 * linear)


JOB = """
import sys
from pathlib import Path
import torch
from xpert.training import distributed, save_weights, train
from tests.training.test_loop import SHARED, halves, shared_model
torch.set_num_threads(1)
out = Path(sys.argv[1])
reports = []
with distributed.torchrun_group():
    name = f"rank{distributed.rank()}"
    model = shared_model()
    result = train(model, halves(), SHARED, seed=0, checkpoint=out / f"checkpoint-{name}", progress=reports.append)
    assert len(reports) >= 3 if distributed.rank() == 0 else not reports
    save_weights(model, out / name)
    print(result.curves[-1]["loss"])
"""

SHARED = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.02, weight_noise=0.02, precision="float32")


def shared_model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = QuantConv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(7), nn.Flatten(), QuantLinear(16, 2)
        return nn.Sequential(*layers)


def halves() -> Dataset:
    """Two classes: bright above, and bright below."""
    labels = torch.arange(96) % 2
    images = torch.zeros(96, 1, 16, 16, dtype=torch.uint8)
    images[labels == 0, :, :8] = 200
    images[labels == 1, :, 8:] = 200
    empty = images[:0], labels[:0]
    return Dataset("halves", ("above", "below"), (0.5,), (0.3,), False, images, labels, *empty, *empty)


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Two processes share every batch; without batch norm all that differs from one is the order of sums."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    common = {**os.environ, **address, "WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    common["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path)],
            env={**common, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    model = shared_model()
    result = train(model, halves(), SHARED, seed=0)
    losses = []
    for process in ranks:
        output, errors = process.communicate(timeout=120)
        if process.returncode and "gloo" in errors and "connect" in errors.lower():
            pytest.skip("processes cannot reach each other here")
        assert process.returncode == 0, errors
        losses.append(float(output))
    assert result.curves[-1]["loss"] < 0.65 < result.curves[0]["loss"]
    assert losses[0] == losses[1] == pytest.approx(result.curves[-1]["loss"], rel=1e-4)
    assert [path.name for path in tmp_path.glob("checkpoint*")] == ["checkpoint-rank0"]
    first, second = (read_tensors(tmp_path / name)[0] for name in ("rank0", "rank1"))
    assert_same(first, second)
    for name, tensor in state(model).items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-3, atol=1e-4)


def test_the_number_format_of_a_resumed_training_stays(
    make_model: MakeModel, stripes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.replace(epochs=1, precision="auto")
    for answer in (False, True):
        monkeypatch.setattr("xpert.training.loop.bfloat16_is_native", lambda device, answer=answer: answer)
        result = train(make_model(), stripes, settings, seed=0, checkpoint=tmp_path / "checkpoint")
        assert result.precision == "float32"


def test_bfloat16_products_learn_too(make_model: MakeModel, stripes: Dataset) -> None:
    model = make_model()
    changes = {"epochs": 1, "batch_size": 96, "precision": "bfloat16"}
    result = train(model, stripes, SETTINGS.replace(**changes), seed=0)
    assert result.precision == "bfloat16"
    assert all(tensor.dtype != torch.bfloat16 for tensor in model.state_dict().values())


def test_a_checkpoint_of_another_training_is_refused(make_model: MakeModel, stripes: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    settings = SETTINGS.replace(epochs=1)
    train(make_model(), stripes, settings, seed=0, checkpoint=path)
    with pytest.raises(RunError, match="checkpoint of another training: its seed differs"):
        train(make_model(), stripes, settings, seed=1, checkpoint=path)
    with pytest.raises(RunError, match="its settings differs"):
        train(make_model(), stripes, SETTINGS, seed=0, checkpoint=path)
    with pytest.raises(RunError, match="its images differs"):
        train(make_model(), stripes.split(0.5, 0), settings, seed=0, checkpoint=path)
    with pytest.raises(RunError, match=r"not a checkpoint to go on from: .* another network"):
        train(nn.Sequential(make_model()), stripes, settings, seed=0, checkpoint=path)


@given(share=st.floats(0, 0.999), junk=st.binary(max_size=30))
def test_a_broken_checkpoint_is_refused(
    make_model: MakeModel, stripes: Dataset, whole_checkpoint: Path, tmp_path_factory: Any, share: float, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("broken") / "checkpoint"
    content = whole_checkpoint.read_bytes()
    path.write_bytes(content[: max(0, int(share * len(content)) - len(junk))] + junk)
    with pytest.raises(RunError, match="not a checkpoint to go on from") as error:
        train(make_model(), stripes, SETTINGS.replace(epochs=1), seed=0, checkpoint=path)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def whole_checkpoint(make_model: MakeModel, stripes: Dataset, tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("whole") / "checkpoint"
    train(make_model(), stripes, SETTINGS.replace(epochs=1), seed=0, checkpoint=path)
    return path


@pytest.mark.parametrize("text", ["", "{", "[]", '{"origin": 3}', '{"precision": "float32"}'])
def test_a_checkpoint_with_a_wrong_record_is_refused(
    make_model: MakeModel, stripes: Dataset, tmp_path: Path, text: str
) -> None:
    write_tensors(tmp_path / "checkpoint", make_model().state_dict(), {"training": text})
    with pytest.raises(RunError, match=r"not a checkpoint to go on from|another training"):
        train(make_model(), stripes, SETTINGS, seed=0, checkpoint=tmp_path / "checkpoint")


def test_a_checkpoint_holds_model_momentum_and_curves(whole_checkpoint: Path) -> None:
    tensors, metadata = read_tensors(whole_checkpoint)
    assert tensors["momentum.conv2.weight"].shape == tensors["model.conv2.weight"].shape
    assert tensors["momentum.conv2.weight"].abs().sum() > 0
    record = json.loads(metadata["training"])
    assert [row["epoch"] for row in record["curves"]] == [1]
    assert record["origin"]["settings"]["learning_rate"] == 0.05


def test_progress_says_where_it_stands(
    make_model: MakeModel, stripes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpert.training.loop._SECONDS_BETWEEN_REPORTS", 0)
    reports: list[Progress] = []
    train(make_model(), stripes, SETTINGS.replace(epochs=2), seed=0, progress=reports.append)
    seen = [(report.figures["event"], report.done, report.figures["step"]) for report in reports]
    assert seen == [("step", e, s) if s < 4 else ("epoch", e, 3) for e in (1, 2) for s in (1, 2, 3, 4)]
    for report in reports:
        figures = report.figures
        assert (report.unit, report.total) == ("epoch", 2)
        assert figures["steps"] == 3
        assert 0 <= figures["train_accuracy"] <= 1
        assert figures["images_per_second"] > 0
        left = 6 - 3 * (report.done - 1) - figures["step"]
        assert figures["seconds_left"] == pytest.approx(left * 32 / figures["images_per_second"])
    assert "validation_accuracy" in reports[-1].figures
    json.dumps([report.figures for report in reports])


def test_divergence_is_said(make_model: MakeModel, stripes: Dataset) -> None:
    class Wild(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 1))

        def forward(self, image: Tensor) -> Tensor:
            return self.weight[:, 0] * image.mean((1, 2, 3))[:, None] * float("inf")

    with pytest.raises(RunError, match=r"the loss became nan in epoch 1: lower learning_rate"):
        train(Wild(), stripes, SETTINGS, seed=0)


def test_without_validation_images_none_is_noted(make_model: MakeModel, stripes: Dataset) -> None:
    bare = replace(stripes, validation_images=stripes.train_images[:0], validation_labels=stripes.train_labels[:0])
    result = train(make_model(), bare, SETTINGS.replace(epochs=1), seed=0)
    assert result.curves[0]["validation_accuracy"] is None


def test_a_batch_may_be_larger_than_the_data(make_model: MakeModel, stripes: Dataset) -> None:
    reports: list[Progress] = []
    changes = {"epochs": 1, "batch_size": 5000}
    train(make_model(), stripes, SETTINGS.replace(**changes), seed=0, progress=reports.append)
    assert reports[-1].figures["steps"] == 1


def test_no_images_is_an_error(make_model: MakeModel, stripes: Dataset) -> None:
    bare = replace(stripes, train_images=stripes.train_images[:0], train_labels=stripes.train_labels[:0])
    with pytest.raises(ConfigError, match="no training images"):
        train(make_model(), bare, SETTINGS, seed=0)


def test_calibration_comes_before_the_first_step_only(make_model: MakeModel, stripes: Dataset) -> None:
    clips = {}
    for images in (0, 64):
        model = make_model()
        changes = {"epochs": 1, "learning_rate": 1e-9, "calibration_images": images}
        train(model, stripes, SETTINGS.replace(**changes), seed=0)
        clips[images] = [layer.input_clip.item() for layer in quantised_layers(model).values()]
    assert clips[0] == pytest.approx([4.0] * 9)
    normalised = stripes.normalised(stripes.train_images[:64])
    assert clips[64][0] == pytest.approx(normalised.max().item())
    assert all(clip != 4.0 for clip in clips[64])


def test_one_step_is_sgd_with_nesterov_momentum(stripes: Dataset) -> None:
    """A linear model, a batch of all images, two epochs: against the update written out."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-0.1, 0.1, 512).reshape(2, 256))

        def forward(self, image: Tensor) -> Tensor:
            return F.linear(image.flatten(1), self.weight)

    settings = TrainingSettings(
        epochs=2, batch_size=96, learning_rate=0.1, warmup=0.5, momentum=0.8, weight_decay=0.01, label_smoothing=0.2,
        shift=0, flip=False, precision="float32",
    )  # fmt: skip
    model = Linear()
    weight, velocity = model.weight.detach().clone(), torch.zeros(2, 256)
    train(model, stripes, settings, seed=0)
    x = stripes.normalised(stripes.train_images).flatten(1)
    target = F.one_hot(stripes.train_labels, 2) * 0.8 + 0.1
    for rate in (0.05, 0.05):
        gradient = ((x @ weight.T).softmax(1) - target).T @ x / len(x) + 0.01 * weight
        velocity = 0.8 * velocity + gradient
        weight = weight - rate * (gradient + 0.8 * velocity)
    torch.testing.assert_close(model.weight.detach(), weight, rtol=1e-4, atol=1e-5)


@given(n_steps=st.integers(1, 500), warmup=st.floats(0, 0.99), start=st.floats(0, 1), end=st.floats(0, 1))
def test_the_learning_rate_rises_and_falls(n_steps: int, warmup: float, start: float, end: float) -> None:
    settings = TrainingSettings(
        learning_rate=3.0, warmup=warmup, learning_rate_start=start, learning_rate_end=end
    )  # fmt: skip
    rates = [learning_rate(step, n_steps, settings) for step in range(n_steps)]
    assert all(3 * min(start, end) <= rate <= 3 for rate in rates)
    assert all(rate > 0 for rate in rates)
    rising = [rate for step, rate in enumerate(rates) if step + 0.5 < warmup * n_steps]
    falling = rates[len(rising) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)


def test_the_learning_rate_by_hand() -> None:
    settings = TrainingSettings(learning_rate=2.0, warmup=0.5, learning_rate_start=0.2, learning_rate_end=0.1)
    # Positions 1/8, 3/8, 5/8 and 7/8; rises from 0.4 to 2 and falls to 0.2.
    expected = [0.4 + 1.6 / 4, 0.4 + 1.6 * 3 / 4, 0.2 + 1.8 * 3 / 4, 0.2 + 1.8 / 4]
    assert [learning_rate(step, 4, settings) for step in range(4)] == pytest.approx(expected)


def test_biases_and_scales_have_their_own_rates_and_penalties(stripes: Dataset) -> None:
    """One step without momentum, beside one with the defaults: what every kind of parameter moves by."""

    def moved(**changes: Any) -> dict[str, Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            first = QuantConv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)
            last = (nn.AvgPool2d(14), nn.Flatten(), QuantLinear(4, 2))
            model = nn.Sequential(*first, nn.ReLU(), *last)
            nn.init.uniform_(model[1].bias)
        before = state(model)
        settings = SETTINGS.replace(
            **{"epochs": 1, "batch_size": 96, "momentum": 0.0, "weight_decay": 0.0, "warmup": 0.0, **changes}
        )
        train(model, stripes, settings, seed=0)
        return {name: model.state_dict()[name] - tensor for name, tensor in before.items()} | {"before": before}

    plain = moved()
    before = plain.pop("before")
    assert plain["1.bias"].abs().max() > 0
    assert plain["1.weight"].abs().max() > 0
    rate = learning_rate(0, 1, SETTINGS.replace(warmup=0.0))
    for changes, name, expected in (
        ({"norm_bias_rate": 8.0}, "1.bias", 8 * plain["1.bias"]),
        ({"norm_scale": "fixed"}, "1.weight", torch.zeros(4)),
        ({"bias_decay": 0.5}, "1.bias", plain["1.bias"] - rate * 0.5 * before["1.bias"]),
        ({"bias_decay": 0.5}, "5.bias", plain["5.bias"] - rate * 0.5 * before["5.bias"]),
        ({"weight_decay": 0.5}, "0.weight", plain["0.weight"] - rate * 0.5 * before["0.weight"]),
    ):
        found = moved(**changes)
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6, msg=str(changes))
        for other, tensor in plain.items():
            changed = other in {"1.bias", "5.bias"} if "bias_decay" in changes else other == name
            if not changed and not ("weight_decay" in changes and other.endswith("weight")):
                assert torch.equal(found[other], tensor), (changes, other)


def test_logits_are_scaled_in_the_loss_by_the_number_of_features(stripes: Dataset) -> None:
    class Linear(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.linear = nn.Linear(256, 2, bias=False)
            nn.init.ones_(self.linear.weight)
            self.factor = factor

        def forward(self, image: Tensor) -> Tensor:
            return self.linear(image.flatten(1)) * self.factor

    settings = SETTINGS.replace(epochs=1, calibration_images=0)
    scaled, plain = Linear(1.0), Linear(28 / 256)
    losses = [train(scaled, stripes, settings.replace(logit_features=28.0), seed=0).curves[0]["loss"]]
    losses += [train(plain, stripes, settings, seed=0).curves[0]["loss"]]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(scaled.linear.weight, plain.linear.weight)
    with pytest.raises(ConfigError, match=r"logit_features: the network has no nn\.Linear"):
        train(nn.Sequential(nn.Conv2d(1, 2, 16), nn.Flatten()), stripes, settings.replace(logit_features=1.0), seed=0)


def test_accuracy_counts_and_restores_the_mode() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.99))
    images = torch.eye(7).view(7, 7, 1, 1)
    labels = torch.tensor([0, 1, 2, 3, 0, 0, 0])
    for training in (True, False):
        model.train(training)
        for batch_size in (1, 3, 100):
            assert accuracy(model, images, labels, batch_size) == pytest.approx(4 / 7)
        assert model.training is training


@pytest.mark.parametrize("native", [True, False])
def test_the_number_format_is_that_of_the_processor(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert bfloat16_is_native("cpu") is native


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs: .*greater than or equal to 1"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"precision": "float16"}, "precision"),
        ({"label_smoothing": 1}, "label_smoothing"),
        ({"lr": 1}, "lr: unknown key"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingSettings.parse(settings)
