"""Reading design files: whatever is in them, the answer is a design or one clear line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design import Chip, Design, Device, Layer, Network, Periphery, parse_mapping, shown
from xpert.errors import ConfigError
from xpert.networks import space

NETWORK = Network(
    backbone="custom",
    input_shape=(3, 8, 8),
    layers=(
        Layer(name="conv", in_channels=3, out_channels=16, in_height=8, in_width=8, kernel_height=3, kernel_width=3),
        Layer(name="linear", kind="linear", in_channels=16, out_channels=10, relu=False),
    ),
)
DESIGN = Design.homogeneous(NETWORK, Chip(), Periphery())
PLAIN = json.loads(DESIGN.model_dump_json())

_aliases = "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij")
)

BROKEN_TEXTS = {
    "empty": "",
    "only a comment": "# nothing\n",
    "a scalar": "5",
    "a list": "[1, 2]",
    "torn": '{"network": {"backbone": "vgg16", "lay',
    "binary": "\x00\x01\x02",
    "a key twice": "name: a\nname: b",
    "a key twice, deep": "chip:\n  device: {cell_bits: 1, cell_bits: 2}",
    "a list as key": "? [1]\n: 2",
    "unknown alias": "chip: *nothing",
    "a tag": "chip: !!python/object/apply:os.system ['true']",
    "wrong tag for its value": "chip: !!timestamp never",
    "another one": "chip: !!bool perhaps",
    "no date": "chip: 9999-99-99",
    "nested lists": "[" * 5000,
    "nested mappings": "{a: " * 3000,
    "exploding aliases": f"a: &a [x,x,x,x,x,x,x,x,x]\n{_aliases}network: *j\nchip: *j\n",
    "its own alias": "network: &a {layers: *a}\nchip: &b [*b]",
    "an integer of 10000 digits": "chip: " + "9" * 10000,
    "an integer of 40000 bits": "chip: 0x" + "f" * 10000,
    "merging a number": "<<: 5",
}


@pytest.mark.parametrize("text", BROKEN_TEXTS.values(), ids=BROKEN_TEXTS.keys())
@pytest.mark.parametrize("name", ["design.json", "design.yaml"])
def test_a_broken_text_is_one_line_that_names_the_file(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    started = time.perf_counter()
    message = refusal(path)
    assert time.perf_counter() - started < 20
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 250


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Design.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


def test_places_that_are_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.json") == f"{tmp_path}/none.json: no such design file"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder, not a design file"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "in.json").endswith("cannot read this design file: Not a directory")
    assert refusal(tmp_path / ("n" * 300)).endswith("cannot read this design file: File name too long")
    (tmp_path / "latin.yaml").write_bytes("µ".encode("latin-1"))
    assert "not a text file" in refusal(tmp_path / "latin.yaml")
    assert "larger than 64 MiB" in refusal(Path("/dev/zero"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    path.touch(mode=0)
    assert refusal(path).endswith("cannot read this design file: Permission denied")


def with_value(*path: Any, value: Any) -> dict[str, Any]:
    """The plain design with another value somewhere."""
    data = json.loads(json.dumps(PLAIN))
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), "red", "colour: unknown key"),
        (("k" * 1000,), "red", "k" * 77 + "...: unknown key"),
        (("chip", "device", "colour"), "red", "chip.device.colour: unknown key"),
        (("chip", "rows"), "many", "chip.rows: Input should be a valid integer"),
        (("chip", "rows"), 64.5, "chip.rows: Input should be a valid integer"),
        (("chip", "rows"), True, "chip.rows: must not be true or false"),
        (("name",), False, "name: must not be true or false"),
        (("chip", "subarrays_per_pe"), True, "chip.subarrays_per_pe: must not be true or false"),
        (("chip", "synchronous"), 3, "chip.synchronous: Input should be a valid boolean"),
        (("chip", "rows"), 4, "chip.rows: Input should be greater than or equal to 8 (got 4)"),
        (("chip", "rows"), 10**30, "chip.rows: Input should be"),
        (("chip", "logic_clock_hz"), float("nan"), "chip.logic_clock_hz: Input should be a finite number (got nan)"),
        (("chip", "logic_clock_hz"), float("inf"), "chip.logic_clock_hz: Input should be a finite number (got inf)"),
        (("chip", "technology", "node_nm"), 16, "chip.technology: node_nm must be 7 ... 14 or 22 ... 130, got 16"),
        (("chip", "subarrays_per_pe"), 5, "chip: subarrays_per_pe must be a square number (1, 4, 9, 16, ...), got 5"),
        (("chip",), [], "chip: must be a mapping of keys to values (got [])"),
        (("periphery",), [], "periphery: Tuple should have at least 1 item"),
        (("periphery",), [{}], "periphery needs one entry per layer (2), got 1"),
        (("periphery", 1, "adc_bits"), 13, "periphery.1.adc_bits: Input should be less than or equal to 12 (got 13)"),
        (("periphery", 1, "columns_per_adc"), 128, "periphery.1.columns_per_adc must not exceed the crossbar's 64"),
        (("network", "layers", 1, "name"), "conv", "network: layer names must differ: 'conv' is there twice"),
        (("network", "channels"), [-1], "network.channels.0: Input should be greater than or equal to 0 (got -1)"),
        (("network", "layers", 0, "kernel_height"), 9, "network.layers.0: kernel 9x3 does not fit the padded map 8x8"),
        (("schema_version",), 3, "schema_version: this XPert reads versions 1 to 2, got 3"),
        (("schema_version",), [[1]], "schema_version: this XPert reads versions 1 to 2, got [[1]]"),
        (("name",), "\ud800", "name: Input should be a valid string"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Design.parse(with_value(*path, value=value), "d.json")
    assert str(caught.value).startswith(f"d.json: {message}")


def test_a_missing_key_and_how_many_more_problems() -> None:
    data = with_value("chip", "rows", value=0)
    del data["network"]
    with pytest.raises(ConfigError, match=r"^d\.json: chip\.rows: .* \(got 0\) \[and 1 more\]$"):
        Design.parse(data, "d.json")
    with pytest.raises(ConfigError, match=r"^d\.json: network: required, but not given$"):
        Design.parse({"periphery": [{}]}, "d.json")


def test_a_design_survives_its_file(tmp_path: Path) -> None:
    DESIGN.write(tmp_path / "design.json")
    assert Design.read(tmp_path / "design.json") == DESIGN
    (tmp_path / "design.yaml").write_text((tmp_path / "design.json").read_text())
    assert Design.read(tmp_path / "design.yaml") == DESIGN


def test_missing_layers_survive_a_file(tmp_path: Path) -> None:
    """Blocks of channels 0 and layers of kernel 0 are read back as such, and the network can be built again."""
    resnet = space("resnet18", (0, 8), kernels=(3, 5))
    vgg = space("vgg11", (8,), kernels=(0, 3))
    networks = (
        resnet.network([options[0] for options in resnet.choices], [options[-1] for options in resnet.kernels]),
        vgg.network((8,) * 8, [options[0] for options in vgg.kernels]),
    )
    for network in networks:
        design = Design.homogeneous(network, Chip(), Periphery())
        design.write(tmp_path / "design.json")
        read = Design.read(tmp_path / "design.json")
        assert read == design
        again = space(network.backbone, [(width,) for width in read.network.channels])
        assert again.network(read.network.channels, read.network.kernels) == network


def test_yaml_merge_keys_still_work() -> None:
    text = "base: &base {x: 1, y: 2}\nother: {<<: *base, y: 3}"
    assert parse_mapping(text, "f.yaml", "file")["other"] == {"x": 1, "y": 3}


def test_shown_is_short_whatever_it_shows() -> None:
    assert shown("red") == "'red'"
    assert len(shown("r" * 1000)) <= 60
    assert shown(1 << 100_000) == "an integer of 100001 bits"
    assert len(shown([[[["deep"] * 100] * 100] * 100] * 100)) < 150
    assert shown("two\nlines\x1b[31m").isprintable()


def test_devices_that_do_not_exist() -> None:
    for wrong, message in [
        ({"r_on_ohm": 2e5, "r_off_ohm": 1e5}, "r_off_ohm must exceed r_on_ohm"),
        ({"cell": "sram", "cell_bits": 2}, "an sram cell stores 1 bit"),
        ({"cell": "fefet", "access": "crosspoint"}, "'crosspoint' is for rram and pcm cells, not fefet"),
    ]:
        with pytest.raises(ConfigError, match=message):
            Device.parse(wrong)


@given(st.binary(max_size=200), st.sampled_from(["design.json", "design.yaml"]))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    refusal(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**400) | st.just(1e308),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of nested plain data."""
    entries = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    return [found for key, value in entries for found in [(*path, key), *paths(value, (*path, key))]]


def design_or_message(read: Callable[[], Design]) -> Design | str:
    """What reading gives: a design, or the line that says why not."""
    try:
        return read()
    except ConfigError as error:
        return str(error)


@given(st.sampled_from(paths(PLAIN)), VALUES)
def test_one_value_replaced(path: tuple[Any, ...], value: Any) -> None:
    found = design_or_message(lambda: Design.parse(with_value(*path, value=value), "d.json"))
    if isinstance(found, str):
        assert found.startswith("d.json: ")
        assert found.isprintable()
    else:
        assert Design.parse(json.loads(found.model_dump_json())) == found


@given(st.data())
def test_a_text_with_a_part_replaced(data: st.DataObject) -> None:
    text = DESIGN.model_dump_json(indent=1)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    mutated = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    for where in ("d.json", "d.yaml"):
        found = design_or_message(lambda: Design.parse(parse_mapping(mutated, where, "design file"), where))  # noqa: B023
        if isinstance(found, str):
            assert found.startswith(f"{where}: ")
            assert found.isprintable()
