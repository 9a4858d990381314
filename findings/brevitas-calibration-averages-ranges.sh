#!/usr/bin/env bash
# Brevitas' calibration sets an activation's range to the mean over batches of their maxima, not to the largest.
# The range, and with it the step of a crossbar's inputs, so depends on the batch size alone, same images or not.
# A designer who finds the input precision by calibrating with single images clips what larger batches would keep.
# Seen on 2026-11-30 with brevitas 0.13.4, torch 2.13.0, 512 images, 8 bits:
#   batches of   1: range 0 ... 4.23, 251 of 512 images clipped (largest value 11.18)
#   batches of  32: range 0 ... 8.00, 8 of 512 images clipped
#   batches of 512: range 0 ... 8.53, 1 of 512 images clipped
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q brevitas==0.13.4 torch==2.13.0 numpy==2.4.6 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from brevitas.graph.calibrate import calibration_mode
from brevitas.nn import QuantReLU

print("version:", *(f"{name} {version(name)}" for name in ("brevitas", "torch")))
generator = torch.Generator().manual_seed(0)
contrast = 0.5 + 2 * torch.rand(512, 1, generator=generator)
images = contrast * torch.randn(512, 256, generator=generator).relu()


def largest_kept(batch_size):
    """The largest value that the layer's output can have after calibration on all images."""
    layer = QuantReLU(bit_width=8)
    with torch.no_grad():
        with calibration_mode(layer):
            for batch in images.split(batch_size):
                layer(batch)
        return float(layer.eval()(torch.tensor([1000.0])))


kept = {size: largest_kept(size) for size in (1, 32, 512)}
for size, value in kept.items():
    clipped = int((images.amax(1) > value).sum())
    print(f"batches of {size:3}: range 0 ... {value:.2f}, {clipped} of 512 images clipped (largest {images.max():.2f})")
print("expected: one range, whatever the batch size, near the largest value")
as_recorded = kept[1] < 0.7 * kept[512] and kept[1] < kept[32] < kept[512]
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
