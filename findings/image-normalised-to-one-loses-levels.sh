#!/usr/bin/env bash
# Images normalised to -1 ... 1 and quantised to 8 bits lose grey levels, and two quantisers of one package disagree.
# An 8-bit image has 256 levels and the input DACs of a crossbar take 8 bits, so a designer counts on 256 codes.
# All 256 values lie halfway between two codes there: rounding noise decides, and neighbours fall together.
# Seen on 2026-11-30 with torch 2.13.0, onnxruntime 1.32.0, onnx 1.23.2:
#   torch quantize_per_tensor         168 codes of 256
#   torch fake_quantize (training)    215 codes of 256
#   onnxruntime QuantizeLinear        215 codes of 256
#   quantize_per_tensor and fake_quantize differ in 128 of 256 levels
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

print("version:", *(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "onnx")))

levels = torch.arange(256)
image = (levels.float() / 255 - 0.5) / 0.5
# The usual 8-bit grid over the range: step = (high - low) / 255, zero point = round(-low / step).
step = torch.tensor(2 / 255).item()
zero = 127

real = torch.quantize_per_tensor(image, step, zero, torch.quint8).int_repr().numpy().astype(int)
fake = torch.fake_quantize_per_tensor_affine(image, step, zero, 0, 255)
fake = np.rint(fake.double().numpy() / step + zero).astype(int)

node = helper.make_node("QuantizeLinear", ["image", "step", "zero"], ["code"])
graph = helper.make_graph(
    [node],
    "quantise",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, [256])],
    [helper.make_tensor_value_info("code", TensorProto.UINT8, [256])],
    [
        helper.make_tensor("step", TensorProto.FLOAT, [], [step]),
        helper.make_tensor("zero", TensorProto.UINT8, [], [zero]),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"image": image.numpy()})[0].astype(int)

codes = {
    "torch quantize_per_tensor": real,
    "torch fake_quantize (training)": fake,
    "onnxruntime QuantizeLinear": runtime,
}
for name, code in codes.items():
    print(f"{name:32} {len(np.unique(code)):4} codes of 256, levels 120 ... 127 become {code[120:128].tolist()}")
different = int((real != fake).sum())
print(f"quantize_per_tensor and fake_quantize differ in {different} of 256 levels")
print("expected: 256 codes from each, and the same ones")
as_recorded = all(len(np.unique(code)) < 250 for code in codes.values()) and different > 100
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
