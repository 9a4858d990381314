#!/usr/bin/env bash
# onnxruntime's quantize_static maps the largest weight to itself at 8 bits, but to 0.93 of itself at 4 bits.
# At 8 bits the step is max/127; at 4 bits it is max/7.5, and code 7 stands for 0.933 max. Weights above that are cut.
# Four bits are what a pair of memory cells holds. Who compares 4 with 8 bits blames the cells for an error of the grid,
# and who divides codes by 7 to get conductances is 7 % off in scale.
# Seen on 2026-11-30 with onnxruntime 1.32.0, onnx 1.23.2:
#   8 bits: -1 and 1 become -1.0000 and 1.0000;  4 bits: -1 and 1 become -0.9333 and 0.9333
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging
import sys
from importlib.metadata import version

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

logging.disable(logging.WARNING)
print("version:", *(f"{name} {version(name)}" for name in ("onnxruntime", "onnx")))
weight = np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]], dtype=np.float32)  # [inputs, outputs]
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "net",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
    [numpy_helper.from_array(weight, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


class Batches(CalibrationDataReader):
    """One batch of inputs."""

    def __init__(self):
        self.batches = iter([{"x": np.linspace(-1, 1, 5, dtype=np.float32)[None]}])

    def get_next(self):
        return next(self.batches, None)


def reproduced(kind):
    """The weights that the quantised network holds."""
    quantize_static(model, "quantised.onnx", Batches(), weight_type=kind)
    held = {entry.name: numpy_helper.to_array(entry) for entry in onnx.load("quantised.onnx").graph.initializer}
    return held["w_quantized"].astype(np.float32).ravel() * held["w_scale"]


results = {8: reproduced(QuantType.QInt8), 4: reproduced(QuantType.QInt4)}
for bits, held in results.items():
    print(f"{bits} bits: -1 and 1 become {held[0]:.4f} and {held[-1]:.4f}")
print("expected: -1 and 1 at both widths, as the grid is symmetric and its step is set by the largest weight")
as_recorded = abs(results[8][-1] - 1) < 1e-6 and abs(results[4][-1] - 14 / 15) < 1e-6
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
