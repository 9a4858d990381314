#!/usr/bin/env bash
# Three counters of multiplications leave Brevitas layers out, without a word.
# Energy per operation, TOPS/W and the load of each crossbar start from this number. A net with some plain layers
# left gives a figure that looks right and misses all layers that go onto crossbars.
# Seen on 2026-11-30 with thop 0.1.1.post2209072238, torchinfo 1.8.0, ptflops 0.7.5, brevitas 0.13.4, torch 2.13.0:
#   torchinfo, thop and ptflops (pytorch backend): 966656 of 10403840; ptflops (aten backend): 10403840
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q brevitas==0.13.4 torch==2.13.0 numpy==2.4.6 \
  thop==0.1.1.post2209072238 torchinfo==1.8.0 ptflops==0.7.5 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import ptflops
import thop
import torch
import torchinfo
from brevitas.nn import QuantConv2d
from torch import nn

print("version:", *(f"{name} {version(name)}" for name in ("thop", "torchinfo", "ptflops", "brevitas", "torch")))


def counts(convolution):
    """Multiplications of a net of two plain layers around one of the given kind, by counter."""
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), convolution(16, 64, 3, padding=1, bias=False)]
    net = nn.Sequential(*layers, nn.Conv2d(64, 8, 1, bias=False)).eval()
    image = torch.randn(1, 3, 32, 32)
    pytorch, aten = (
        ptflops.get_model_complexity_info(
            net, (3, 32, 32), as_strings=False, print_per_layer_stat=False, verbose=False, backend=backend
        )[0]
        for backend in ("pytorch", "aten")
    )
    return {
        "torchinfo": torchinfo.summary(net, input_data=image, verbose=0).total_mult_adds,
        "ptflops, pytorch backend": int(pytorch),
        "ptflops, aten backend": int(aten),
        "thop": int(thop.profile(net, (image,), verbose=False)[0]),
    }


plain, quantised = counts(nn.Conv2d), counts(QuantConv2d)
exact = 32 * 32 * (3 * 16 * 9 + 16 * 64 * 9 + 64 * 8)
print(f"{'counter':26}{'plain net':>12}{'middle layer of Brevitas':>26}   exact: {exact}")
for name in plain:
    print(f"{name:26}{plain[name]:12}{quantised[name]:26}")
print("expected: the same number in both columns")
blind = [name for name in plain if plain[name] == exact and quantised[name] == exact - 32 * 32 * 16 * 64 * 9]
as_recorded = blind == ["torchinfo", "ptflops, pytorch backend", "thop"] and quantised["ptflops, aten backend"] == exact
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
