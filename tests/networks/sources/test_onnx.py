"""Networks from ONNX files: outputs are those of onnxruntime, or of ONNX's own reference where that is not there."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpert.errors import ConfigError, DataError
from xpert.networks.sources import load_network

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

OPSETS = (9, 11, 13, 18, 22)


def values(*shape: int, seed: int = 0, low: float = -1, high: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


class File:
    """An ONNX file that is put together node by node."""

    def __init__(self, path: Path, shape: tuple[Any, ...] = (1, 4, 6, 6), opset: int = 13) -> None:
        self.path, self.opset, self.nodes, self.constants = path, opset, [], []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]

    def constant(self, name: str, array: Any, as_node: bool = False) -> str:
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if as_node:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def node(self, op: str, inputs: list[Any], output: str = "y", **attributes: Any) -> str:
        names = [
            name if isinstance(name, str) else self.constant(f"{output}_{place}", name)
            for place, name in enumerate(inputs)
        ]
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op, names, outputs, **attributes))
        return output

    def write(self, outputs: tuple[str, ...] = ("y",), domains: Mapping[str, int] | None = None) -> str:
        found = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, found, self.constants)
        imports = [helper.make_opsetid("", self.opset)]
        imports += [helper.make_opsetid(name, version) for name, version in (domains or {}).items()]
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), self.path)
        return str(self.path)


def expected(path: str, images: Tensor, **others: Any) -> list[np.ndarray]:
    """A file's outputs for images, one at a time, by onnxruntime or ONNX's reference."""
    found = []
    for image in images.split(1):
        feed = {"x": image.numpy(), **others}
        if importlib.util.find_spec("onnxruntime"):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            found.append(onnxruntime.InferenceSession(path, options).run(None, feed))
        else:
            from onnx.reference import ReferenceEvaluator

            found.append(ReferenceEvaluator(path).run(None, feed))
    return [np.concatenate(parts) for parts in zip(*found)]


def agrees(path: str, shape: tuple[int, ...] = (4, 6, 6), tolerance: float = 1e-5, **options: Any) -> nn.Module:
    """Two images together give what each gives alone elsewhere; the module."""
    loaded = load_network(path, **options)
    assert loaded.input_shape == shape
    images = torch.from_numpy(values(2, *shape, seed=5))
    with torch.no_grad():
        answer = loaded.module(images)
    answers = answer if isinstance(answer, tuple) else (answer,)
    for found, wanted in zip(answers, expected(path, images), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=tolerance)
    return loaded.module


def layers(module: nn.Module) -> list[nn.Module]:
    kinds = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._BatchNorm)
    return [part for part in module.modules() if isinstance(part, kinds)]


# Operators

UNARY = (
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Flatten", "Floor", "GlobalAveragePool", "GlobalMaxPool"),
    *("HardSigmoid", "Identity", "LeakyRelu", "LogSoftmax", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid"),
    *("Sign", "Sin", "Softmax", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op", UNARY)
def test_functions_of_one_input(tmp_path: Path, op: str, opset: int) -> None:
    if op == "Round" and opset < 11:
        pytest.skip("ONNX has it from version 11 on")
    file = File(tmp_path / "a.onnx", opset=opset)
    file.node(op, ["x"])
    agrees(file.write())


POOLS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "by side": {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]},
    "uneven": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]},
    "upper": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "lower": {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_LOWER"},
    "wide": {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 1, 1]},
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pooling(tmp_path: Path, op: str, name: str) -> None:
    file = File(tmp_path / "a.onnx")
    file.node(op, ["x"], **POOLS[name])
    agrees(file.write())


def test_averages_that_count_what_is_added(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx")
    file.node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)
    agrees(file.write())


CONVS: dict[str, dict[str, Any]] = {
    "plain": {},
    "groups": {"group": 4, "pads": [1, 1, 1, 1]},
    "by side": {"strides": [2, 1], "pads": [1, 0, 1, 0]},
    "uneven": {"strides": [2, 2], "pads": [0, 0, 1, 1]},
    "dilated": {"dilations": [2, 1]},
    "upper": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "lower": {"strides": [1, 2], "auto_pad": "SAME_LOWER"},
}


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("biased", [True, False])
def test_convolutions_are_layers(tmp_path: Path, name: str, biased: bool) -> None:
    file, groups = File(tmp_path / "a.onnx"), CONVS[name].get("group", 1)
    kernel = values(8, 4 // groups, 3, 3, seed=1)
    file.node("Conv", ["x", kernel, *([values(8, seed=2)] if biased else [])], **CONVS[name])
    (layer,) = layers(agrees(file.write()))
    assert isinstance(layer, nn.Conv2d)
    assert (layer.groups, layer.bias is not None) == (groups, biased)


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]])
def test_transposed_convolutions(tmp_path: Path, pads: list[int]) -> None:
    file = File(tmp_path / "a.onnx")
    file.node("ConvTranspose", ["x", values(4, 3, 3, 3, seed=1), values(3)], strides=[2, 2], pads=pads, group=1)
    assert isinstance(layers(agrees(file.write()))[0], nn.ConvTranspose2d)


def test_products_are_layers_and_take_the_bias_behind_them(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx", ("n", 6))
    file.node("MatMul", ["x", values(6, 5)], "a")
    file.node("Add", ["a", values(5, seed=1)], "b")
    file.node("Relu", ["b"], "c")
    file.node("Gemm", ["c", values(7, 5, seed=2), values(7, seed=3)], "d", transB=1, alpha=0.5, beta=2.0)
    file.node("Gemm", ["d", values(7, 3, seed=4)], "e")
    file.node("MatMul", ["e", values(3, 2, seed=5)], "f")
    file.node("Sub", ["f", values(2, seed=6)])
    found = layers(agrees(file.write(), (6,)))
    assert [(type(part), part.bias is not None) for part in found] == [
        (nn.Linear, True),
        (nn.Linear, True),
        (nn.Linear, False),
        (nn.Linear, False),
    ]


def test_weights_on_the_left_and_products_of_two_maps(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx", (1, 4, 6))
    file.node("MatMul", [values(3, 4), "x"], "a")
    file.node("Transpose", ["a"], "b", perm=[0, 2, 1])
    file.node("MatMul", ["b", "a"])
    assert len(layers(agrees(file.write(), (4, 6)))) == 1


@pytest.mark.parametrize("opset", OPSETS)
def test_shapes_and_places(tmp_path: Path, opset: int) -> None:
    """Axes, pads and the like are attributes in old versions and inputs in new ones."""
    file = File(tmp_path / "a.onnx", opset=opset)

    def axes(op: str, source: str, output: str, chosen: list[int], since: int, **attributes: Any) -> None:
        if opset >= since:
            file.node(op, [source, np.array(chosen)], output, **attributes)
        else:
            file.node(op, [source], output, axes=chosen, **attributes)

    axes("ReduceMean", "x", "m", [2, 3], 18, keepdims=1)
    axes("ReduceSum", "x", "s", [1], 13, keepdims=0)
    axes("Unsqueeze", "s", "u", [1], 13)
    axes("ReduceMax", "x", "g", [3], 18, keepdims=1)
    if opset >= 11:
        file.node("Clip", ["x", np.float32(-0.5), np.float32(0.25)], "c")
        file.node("Pad", ["c", np.array([0, 0, 1, 0, 0, 0, 0, 2])], "p")
    else:
        file.node("Clip", ["x"], "c", min=-0.5, max=0.25)
        file.node("Pad", ["c"], "p", pads=[0, 0, 1, 0, 0, 0, 0, 2])
    if opset >= 10:
        file.node("Slice", ["p", np.array([1, -1]), np.array([7, -7]), np.array([2, 3]), np.array([1, -1])], "t")
    else:
        file.node("Slice", ["p"], "t", starts=[1, 0], ends=[7, 6], axes=[2, 3])
    if opset >= 13:
        file.node("Split", ["x", np.array([1, 3])], ["q", "r"], axis=1)
    else:
        file.node("Split", ["x"], ["q", "r"], axis=1, split=[1, 3])
    file.node("Concat", ["r", "q"], "z", axis=1)
    file.node("Gather", ["z", np.array([[3, 0], [1, -2]])], "h", axis=1)
    file.node("Reshape", ["h", np.array([0, 4, 6, -1])], "i")
    for name, terms in {"a": "mg", "b": "au", "d": "bt"}.items():
        file.node("Add", list(terms), name)
    file.node("Mul", ["d", "i"])
    agrees(file.write())


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("opset", [9, 11, 13, 19])
def test_resizing(tmp_path: Path, mode: str, opset: int) -> None:
    if opset == 9 and mode == "linear":
        pytest.skip("its places of pixels are not read")
    file, scales = File(tmp_path / "a.onnx", opset=opset), np.array([1, 1, 2, 2], dtype=np.float32)
    if opset == 9:
        file.node("Upsample", ["x", scales], mode=mode)
    else:
        file.node(
            "Resize",
            ["x", np.zeros(0, np.float32) if opset < 13 else "", scales],
            mode=mode,
            coordinate_transformation_mode="half_pixel",
        )
    agrees(file.write())


def test_normalisations(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx", opset=18)
    scale, shift = values(4, low=0.5, high=2), values(4, seed=1)
    file.node(
        "BatchNormalization", ["x", scale, shift, values(4, seed=2), values(4, seed=3, low=0.5)], "a", epsilon=0.01
    )
    file.node("InstanceNormalization", ["a", scale, shift], "b")
    file.node("LayerNormalization", ["b", values(6, seed=4), values(6, seed=5)], "c", axis=-1)
    file.node("LRN", ["c"], size=3, alpha=0.1, bias=1.5)
    module = agrees(file.write())
    assert isinstance(layers(module)[0], nn.BatchNorm2d)


def test_quantised_values(tmp_path: Path) -> None:
    """Rounded to codes and back; weights that are stored as codes are weights."""
    file = File(tmp_path / "a.onnx", opset=13)
    scale, zero = np.float32(0.02), np.uint8(120)
    file.node("QuantizeLinear", ["x", scale, zero], "q")
    file.node("DequantizeLinear", ["q", scale, zero], "d")
    codes = np.random.default_rng(1).integers(-127, 128, (5, 4, 3, 3)).astype(np.int8)
    steps = values(5, low=0.01, high=0.02)
    file.node("DequantizeLinear", [codes, steps, np.zeros(5, np.int8)], "w", axis=0)
    file.node("Conv", ["d", "w", values(5)])
    loaded = load_network(agrees_path(file))
    (layer,) = layers(loaded.module)
    assert torch.equal(torch.round(layer.weight / steps.max()).int(), torch.from_numpy(codes).int())
    (weights,), (inputs,) = loaded.weight_codes.values(), loaded.input_codes.values()
    assert (weights.bits, float(weights.scale)) == (8, float(steps.max()))
    assert (inputs.bits, float(inputs.scale), inputs.zero) == (8, float(scale), 120)


def agrees_path(file: File) -> str:
    path = file.write()
    agrees(path)
    return path


# What files hold


def test_weights_in_constants_and_one_weight_of_two_layers(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx", (1, 4, 6, 6))
    kernel = file.constant("kernel", values(4, 4, 3, 3), as_node=True)
    file.node("Conv", ["x", kernel], "a", pads=[1, 1, 1, 1])
    file.node("Conv", ["a", kernel], pads=[1, 1, 1, 1])
    loaded = load_network(agrees_path(file))
    assert [layer.name for layer in loaded.network().layers] == ["conv1", "conv2"]


def test_weights_that_the_graph_computes(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx")
    file.node("Mul", [values(4, 3, 3, 2), np.float32(0.5)], "m")
    file.node("Transpose", ["m"], "w", perm=[3, 0, 1, 2])
    file.node("Conv", ["x", "w"])
    module = agrees(file.write())
    assert len(layers(module)) == 1
    assert not list(module.buffers())


def test_everything_inside_a_branch(tmp_path: Path) -> None:
    """As networks for two sample rates are: the condition is an input, and names are the same in both branches."""
    outputs = [helper.make_empty_tensor_value_info("o")]
    branches = {}
    for name, side in (("then_branch", 3), ("else_branch", 1)):
        kernel = numpy_helper.from_array(values(2, 4, side, side), "kernel")
        nodes = [helper.make_node("Conv", ["x", "kernel"], ["o"], pads=[side // 2] * 4)]
        branches[name] = helper.make_graph(nodes, name, [], outputs, [kernel])
    for rate, side in ((16000, 3), (8000, 1)):
        file = File(tmp_path / "a.onnx")
        file.inputs.append(helper.make_tensor_value_info("rate", TensorProto.INT64, []))
        file.node("Equal", ["rate", np.array(16000)], "is")
        file.node("If", ["is"], "i", **branches)
        file.node("Relu", ["i"])
        path = file.write()
        loaded = load_network(path, arguments={"rate": rate})
        (layer,) = layers(loaded.module)
        assert layer.kernel_size == (side, side)
        images = torch.from_numpy(values(2, 4, 6, 6))
        wanted = expected(path, images, rate=np.array(rate))[0]
        np.testing.assert_allclose(loaded.module(images).detach().numpy(), wanted, atol=1e-5)
    with pytest.raises(ConfigError, match=r"has a second input, rate \[\]: give its value, --argument rate="):
        load_network(path)
    with pytest.raises(ConfigError, match="no input 'rat'; the network has x, rate"):
        load_network(path, arguments={"rate": 1, "rat": 3})


def test_integer_and_half_weights(tmp_path: Path) -> None:
    """Of integers in a float convolution the numbers are taken, which onnxruntime refuses to."""
    kernel = np.random.default_rng(0).integers(-9, 9, (2, 4, 3, 3)).astype(np.int8)
    file = File(tmp_path / "a.onnx")
    file.node("Conv", ["x", kernel])
    (layer,) = layers(load_network(file.write()).module)
    assert torch.equal(layer.weight, torch.from_numpy(kernel).float())
    file = File(tmp_path / "b.onnx")
    file.inputs[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    file.node("Conv", ["x", values(2, 4, 3, 3).astype(np.float16)])
    (layer,) = layers(load_network(file.write()).module)
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize("batch", [1, "n"])
def test_files_for_one_image_take_several(tmp_path: Path, batch: Any) -> None:
    file = File(tmp_path / "a.onnx", (batch, 4, 6, 6))
    file.node("Reshape", ["x", np.array([1 if batch == 1 else -1, 144])], "a")
    file.node("Gemm", ["a", values(144, 10)])
    module = agrees(file.write())
    assert not module.one_by_one


def test_files_that_work_on_one_image_alone(tmp_path: Path) -> None:
    """The batch is among the axes that are turned: images go through one after the other."""
    file = File(tmp_path / "a.onnx", (1, 4, 6, 6))
    file.node("Reshape", ["x", np.array([4, 36])], "a")
    file.node("MatMul", ["a", values(36, 5)], "b")
    file.node("Reshape", ["b", np.array([1, 20])])
    assert agrees(file.write()).one_by_one


def test_channels_last(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx", (1, 6, 5, 4))
    file.node("Transpose", ["x"], "t", perm=[0, 3, 1, 2])
    file.node("Conv", ["t", values(2, 4, 3, 3)])
    path = file.write()
    loaded = load_network(path)
    assert loaded.input_shape == (4, 6, 5)
    images = torch.from_numpy(values(2, 4, 6, 5))
    wanted = expected(path, images.permute(0, 2, 3, 1))[0]
    np.testing.assert_allclose(loaded.module(images).detach().numpy(), wanted, atol=1e-5)


def test_open_sizes(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx", ("n", 4, "h", "w"))
    file.node("Conv", ["x", values(2, 4, 3, 3)], "c")
    file.node("GlobalAveragePool", ["c"], "g")
    file.node("Flatten", ["g"])
    path = file.write()
    agrees(path, (4, 7, 9), input_shape=(4, 7, 9))
    assert load_network(path, default_shape=(4, 5, 5)).input_shape == (4, 5, 5)
    with pytest.raises(ConfigError, match=r"leaves sizes of its input open \(4,\?,\?\): give --input-shape"):
        load_network(path)
    with pytest.raises(ConfigError, match=r"takes inputs of 4,\?,\?, not 3,8,8"):
        load_network(path, input_shape=(3, 8, 8))


def test_several_outputs(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx")
    file.node("Conv", ["x", values(2, 4, 3, 3)], "a")
    file.node("Conv", ["x", values(3, 4, 1, 1)], "b")
    assert len(layers(agrees(file.write(("a", "b"))))) == 2


def test_data_beside_the_file(tmp_path: Path) -> None:
    file = File(tmp_path / "a.onnx")
    file.node("Conv", ["x", values(2, 4, 3, 3)])
    path = file.write()
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="a.data", size_threshold=0)
    agrees(path)
    (tmp_path / "a.data").rename(tmp_path / "b.data")
    loaded = load_network(path)
    assert loaded.untrained == "its weights lie in a.data, which is missing"
    assert [layer.out_channels for layer in loaded.network().layers] == [2]


# QONNX


def quantised_file(path: Path, channels: bool = False) -> File:
    """Weights of 4 bits and inputs of 5, two layers, as Brevitas writes them."""
    domain = "qonnx.custom_op.general"
    file = File(path)

    def quant(source: Any, output: str, scale: Any, bits: float, signed: int, narrow: int) -> str:
        inputs = [source, np.asarray(scale, np.float32), np.float32(0), np.float32(bits)]
        return file.node("Quant", inputs, output, domain=domain, signed=signed, narrow=narrow, rounding_mode="ROUND")

    scale = values(6, 1, 1, 1, low=0.05, high=0.2) if channels else 0.11
    quant("x", "q", 0.03, 6, 1, 0)
    quant(values(6, 4, 3, 3), "w", scale, 4, 1, 1)
    file.node("Conv", ["q", "w", values(6, seed=2)], "c")
    file.node("Relu", ["c"], "r")
    quant("r", "a", 0.09, 5, 0, 0)
    file.node("MaxPool", ["a"], "p", kernel_shape=[2, 2], strides=[2, 2])
    file.node("Flatten", ["p"], "f")
    file.node("BipolarQuant", [values(3, 24, seed=3), np.float32(0.5)], "v", domain=domain)
    file.node("Gemm", ["f", "v"], transB=1)
    return file


def by_hand(images: Tensor, channels: bool) -> Tensor:
    scale = torch.from_numpy(values(6, 1, 1, 1, low=0.05, high=0.2)) if channels else torch.tensor(0.11)
    weight = (torch.from_numpy(values(6, 4, 3, 3)) / scale).clamp(-7, 7).round() * scale
    x = (images / 0.03).clamp(-32, 31).round() * 0.03
    x = F.relu(F.conv2d(x, weight, torch.from_numpy(values(6, seed=2))))
    x = F.max_pool2d((x / 0.09).clamp(0, 31).round() * 0.09, 2).flatten(1)
    return F.linear(x, torch.where(torch.from_numpy(values(3, 24, seed=3)) >= 0, 0.5, -0.5))


@pytest.mark.parametrize("channels", [False, True])
def test_bit_widths_are_kept(tmp_path: Path, channels: bool) -> None:
    from xpert.analog import at_precision
    from xpert.design import Chip, Periphery

    file = quantised_file(tmp_path / "q.onnx", channels)
    loaded = load_network(file.write(domains={"qonnx.custom_op.general": 1}))
    images = torch.from_numpy(values(4, 4, 6, 6, seed=7))
    torch.testing.assert_close(loaded.module(images).detach(), by_hand(images, channels), rtol=0, atol=1e-5)
    design = loaded.design(Chip(), Periphery())
    assert design.chip.weight_bits == 4
    assert [periphery.input_bits for periphery in design.periphery] == [6, 5]
    # On the integers of crossbars it is the same network.
    model = loaded.quantised(images, design.chip.weight_bits)
    with at_precision(model, design), torch.no_grad():
        torch.testing.assert_close(model(images), loaded.module(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("op", ["Trunc", "Quant"])
def test_what_quantisers_are_not_read(tmp_path: Path, op: str) -> None:
    file = File(tmp_path / "q.onnx")
    bits = [np.float32(8), np.float32(4)] if op == "Trunc" else [np.float32([4, 3, 4, 4]).reshape(4, 1, 1)]
    file.node(op, ["x", np.float32(0.1), np.float32(0), *bits], domain="qonnx.custom_op.general", rounding_mode="ODD")
    with pytest.raises(ConfigError, match=f"q.onnx: .*{op}.*(ODD|bit widths of channels|only one element)"):
        load_network(file.write(domains={"qonnx.custom_op.general": 1}))


def test_an_average_whose_low_bits_are_cut_off(tmp_path: Path) -> None:
    file = File(tmp_path / "q.onnx")
    inputs = ["x", np.float32(1 / 64), np.float32(0), np.float32(8), np.float32(4)]
    file.node("Trunc", inputs, domain="qonnx.custom_op.general", rounding_mode="FLOOR")
    images = torch.from_numpy(values(2, 4, 6, 6))
    found = load_network(file.write(domains={"qonnx.custom_op.general": 1})).module(images)
    torch.testing.assert_close(found, torch.floor(torch.round(images * 64) / 16) / 64)


# Exports of torch


class Small(nn.Module):
    """Depthwise and grouped layers, a gate, uneven padding and strides, a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.down = nn.Conv2d(8, 12, 3, stride=2)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norm(self.stem(x)))
        y = self.depthwise(x)
        gate = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1))))
        x = x + y * F.hardsigmoid(gate)
        x = F.max_pool2d(F.relu6(self.down(self.pad(x))), 2)
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def small() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = Small()
        module.train()
        for _ in range(3):  # statistics of the batch norm
            module(torch.randn(8, 3, 16, 16))
    return module.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("open_batch", [True, False])
def test_exports_of_torch(tmp_path: Path, small: nn.Module, dynamo: bool, open_batch: bool) -> None:
    if dynamo:
        pytest.importorskip("onnxscript")
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    options: dict[str, Any] = {"dynamo": dynamo}
    if open_batch:
        options |= (
            {"dynamic_shapes": ({0: "n"},)} if dynamo else {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
        )
    # torch takes a batch of 1 for a size that never changes.
    torch.onnx.export(small, (images[: 2 if open_batch else 1],), str(tmp_path / "a.onnx"), **options)
    loaded = load_network(str(tmp_path / "a.onnx"))
    with torch.no_grad():
        torch.testing.assert_close(loaded.module(images), small(images), rtol=1e-4, atol=1e-5)
    shapes = [tuple(layer.weight.shape) for layer in layers(loaded.module) if layer.weight.dim() > 1]
    own = [small.stem, small.depthwise, small.squeeze, small.excite, small.down, small.fc]
    assert shapes == [tuple(layer.weight.shape) for layer in own]


@pytest.mark.filterwarnings("ignore")
def test_exports_of_brevitas(tmp_path: Path) -> None:
    qnn = pytest.importorskip("brevitas.nn")
    from brevitas.export import export_qonnx

    torch.manual_seed(0)
    module = nn.Sequential(
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantConv2d(3, 6, 3, weight_bit_width=4, bias=False),
        qnn.QuantReLU(bit_width=5, return_quant_tensor=True),
        nn.Flatten(),
        qnn.QuantLinear(6 * 36, 4, bias=True, weight_bit_width=4),
    )
    for _ in range(3):
        module(torch.randn(8, 3, 8, 8))
    module.eval()
    export_qonnx(module, torch.randn(1, 3, 8, 8), export_path=str(tmp_path / "b.onnx"))
    images = torch.randn(4, 3, 8, 8)
    loaded = load_network(str(tmp_path / "b.onnx"))
    wanted = module(images)
    torch.testing.assert_close(loaded.module(images), getattr(wanted, "value", wanted), rtol=1e-4, atol=1e-5)
    assert [codes.bits for codes in loaded.weight_codes.values()] == [4, 4]
    assert [codes.bits for codes in loaded.input_codes.values()] == [8, 5]


# Files of installed packages

REAL = [
    ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", (3, 64, 96), {}),
    ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", (3, 48, 160), {}),
    ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 48, 192), {}),
    ("silero_vad", "data/silero_vad.onnx", (576,), {"state": 0, "sr": 16000}),
    ("silero_vad", "data/silero_vad_half.onnx", (576,), {"state": 0.0}),
    ("magika", "models/standard_v3_3/model.onnx", (2048,), {}),
]


@pytest.mark.parametrize(("package", "name", "shape", "arguments"), REAL, ids=[name for _, name, _, _ in REAL])
def test_files_of_packages(package: str, name: str, shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    runtime = pytest.importorskip("onnxruntime")
    path = Path(found.origin).parent / name
    if not path.exists():
        pytest.skip(f"this release of {package} has no {name}")
    session = runtime.InferenceSession(str(path))
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    kinds["tensor(float16)"] = np.float16
    images = values(2, *shape, low=0, high=200 if package == "magika" else 1).round(0 if package == "magika" else 6)
    answers = []
    for image in images:
        feed = {}
        for value in session.get_inputs():
            sizes = [size if isinstance(size, int) else 1 for size in value.shape]
            array = np.full(sizes, arguments[value.name]) if value.name in arguments else image[None]
            feed[value.name] = array.astype(kinds[value.type])
        answers.append(session.run(None, feed)[0])
    loaded = load_network(str(path), arguments=arguments, input_shape=shape)
    with torch.no_grad():
        answer = loaded.module(torch.from_numpy(images))
    answer = answer[0] if isinstance(answer, tuple) else answer
    np.testing.assert_allclose(answer.numpy(), np.concatenate(answers), rtol=1e-3, atol=1e-4)


# What is refused


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[Callable[[File], Any]], str]:
    def make(change: Callable[[File], Any]) -> str:
        file = File(tmp_path / "a.onnx")
        change(file)
        return file.write()

    return make


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.node("Hardmax", ["x"], name="odd"), r"a.onnx: Hardmax 'odd': this operator is not read"),
        (lambda file: file.node("Relu", ["z"]), "Relu that gives 'y': its input 'z' is nowhere"),
        (lambda file: file.node("Own", ["x"], domain="my.own"), r"my.own.Own that gives 'y': operators of my.own"),
        (lambda file: file.node("Conv", ["x", values(2, 3, 3, 3)]), "Conv that gives 'y': cannot be computed: "),
        (lambda file: file.node("Conv", ["x", "x"]), "a kernel that depends on the image"),
        (lambda file: file.node("Abs", [values(2)]), "its outputs do not depend on its input"),
        (lambda file: file.node("Loop", ["x", "x"]), "Loop that gives 'y': this operator is not read"),
        (
            lambda file: file.node("Conv", ["x", np.full((2, 4, 3, 3), np.nan, np.float32)]),
            "conv1.weight: 72 of 72 num",
        ),
    ],
)
def test_what_is_not_read_is_said_with_its_place(broken: Callable, change: Callable, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message) as error:
        load_network(broken(change))
    assert "\n" not in str(error.value)


def test_a_branch_that_depends_on_the_image(tmp_path: Path) -> None:
    outputs = [helper.make_empty_tensor_value_info("o")]
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["o"])], "b", [], outputs)
    file = File(tmp_path / "a.onnx")
    file.node("ReduceMax", ["x"], "m", keepdims=0)
    file.node("Greater", ["m", np.float32(0)], "c")
    file.node("If", ["c"], then_branch=branch, else_branch=branch)
    with pytest.raises(ConfigError, match="a branch that depends on the image is not read"):
        load_network(file.write())


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File(tmp_path / "a.onnx")
    file.node("Relu", ["x"])
    whole = Path(file.write()).read_bytes()
    for name, content, message in (
        ("cut.onnx", whole[: len(whole) // 2], "not a whole ONNX file|no graph|nowhere|no input"),
        ("text.onnx", b"no network", "not a whole ONNX file"),
        ("empty.onnx", b"", "it holds no graph"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((ConfigError, DataError), match=message):
            load_network(str(tmp_path / name))
    with pytest.raises(DataError, match="no such ONNX file"):
        load_network(str(tmp_path / "none.onnx"))
    file.opset = 99
    onnx.save(helper.make_model(onnx.load(file.path).graph, opset_imports=[helper.make_opsetid("", 99)]), file.path)
    with pytest.raises(ConfigError, match="opset 99; versions 7 to 23 are read"):
        load_network(str(file.path))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r'needs the package onnx: pip install "xpert-imc\[onnx\]"'):
        load_network(str(file.path))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield
