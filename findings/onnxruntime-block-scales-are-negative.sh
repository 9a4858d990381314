#!/usr/bin/env bash
# onnxruntime's 4-bit block format (MatMulNBits) has negative scales: the sign of a code is not the sign of its weight.
# Per block the weight of largest magnitude gets code -8, and the scale takes the opposite of that weight's sign.
# A mapping onto differential cell pairs that reads signs from codes, or takes scales for step sizes (positive), turns
# about half of the blocks of rows around.
# Seen on 2026-11-30 with onnxruntime 1.32.0, onnx 1.23.2 (onnx-ir 1.1.0):
#   scales below zero: 62 of 128; weights whose code has the other sign: 43.8 %; error of code * scale: 7.3 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 onnx-ir==1.1.0 numpy==2.4.6 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging
import sys
from importlib.metadata import version

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

logging.disable(logging.WARNING)
print("version:", *(f"{name} {version(name)}" for name in ("onnxruntime", "onnx")))
rows, columns, block = 256, 16, 32
weight = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "net",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
    [numpy_helper.from_array(weight, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=block, is_symmetric=True)
quantizer.process()
packed, scale = (numpy_helper.to_array(entry) for entry in quantizer.model.model.graph.initializer)

# packed [columns, blocks, block / 2] holds two codes per byte, the low four bits first; 8 stands for 0.
code = np.stack([packed & 15, packed >> 4], axis=-1).reshape(columns, -1, block).astype(int) - 8
scale = scale.reshape(columns, -1, 1)
blocks = weight.T.reshape(columns, -1, block)
error = np.abs(code * scale - blocks).max() / np.abs(blocks).max()
turned = float((np.sign(code) * np.sign(blocks) < 0).mean())
print(f"scales below zero: {int((scale < 0).sum())} of {scale.size}")
print(f"weights whose code has the other sign: {turned:.1%}; error of code * scale: {error:.1%} of the largest weight")
print("expected: positive scales, codes with the signs of their weights")
as_recorded = 0.3 < (scale < 0).mean() < 0.7 and error < 0.15 and turned > 0.3
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
