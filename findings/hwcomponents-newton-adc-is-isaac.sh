#!/usr/bin/env bash
# hwcomponents-library's NewtonADC has the numbers of ISAAC's ADC; Newton's own are in the file but never used.
# The class is written twice, and the second, an empty child of IsaacADC, wins. It has 8 bits by default, Newton 9.
# A designer who compares the two published chips by their converters compares one converter with itself.
# Needs Python 3.12 or newer. Seen on 2026-11-30 with hwcomponents-library 1.0.58, hwcomponents 1.0.114:
#   both ADCs at 9 bits, 32 nm: 3.333 pJ, 2400 um2; Newton's unused numbers: 2.583 pJ, 1500 um2; default: 8 bits
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q hwcomponents-library==1.0.58 hwcomponents==1.0.114 \
  hwcomponents-neurosim==1.0.43 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

from hwcomponents_library import IsaacADC, NewtonADC

print("version:", *(f"{name} {version(name)}" for name in ("hwcomponents-library", "hwcomponents")))


def numbers(adc):
    """Energy of a conversion [pJ] and area [um2]."""
    return round(adc.convert().energy * 1e12, 3), round(adc.area * 1e12, 1)


newton, isaac = (kind(tech_node=32e-9, resolution=9) for kind in (NewtonADC, IsaacADC))
bits = NewtonADC(tech_node=32e-9).resolution
for name, adc in (("NewtonADC", newton), ("IsaacADC", isaac)):
    energy, area = numbers(adc)
    print(f"{name:10} 9 bits, 32 nm: {energy} pJ, {area} um2")
print(f"NewtonADC's default precision: {bits} bits")
print("expected: Newton's 9-bit ADC, 2.583 pJ and 1500 um2")
as_recorded = numbers(newton) == numbers(isaac) and bits == 8
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
