#!/usr/bin/env bash
# AnalogNAS-Bench names a network by six digits. Their order is not NAS-Bench-201's, for edges and operations alike.
# Edges go by source node, and the operations are skip, none, 3x3, 1x1, pooling: NASLib's short form.
# The wheel does not say so.
# Read in NAS-Bench-201's order, the table still gives plausible figures, for other networks: a predictor of accuracy on
# chips trained or tested with it learns nonsense.
# The proof: a network without a path from input to output is at chance, 10 % exactly.
# Seen on 2026-11-30 with analog-nasbench 0.1.3:
#   NAS-Bench-201's order: 2 of 341 nets without a path at 10 %, best of them 92.2 %
#   by source, none = 1:   341 of 341 nets without a path at 10 %
#   the same network under two names: 0.17 points apart in baseline, 0.91 in analog accuracy (medians)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q analog-nasbench==0.1.3 numpy==2.4.6 pandas==3.1.1 \
  setuptools==65.5.0 2>"$folder/log" ||
  { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from analognasbench.data import AnalogNASBench

print("version:", *(f"{name} {version(name)}" for name in ("analog-nasbench", "numpy")))
bench = AnalogNASBench()
accuracy = {net: bench.query_metric(net, "baseline_accuracy") for net in bench.list_available_architectures()}
chance = {net for net, value in accuracy.items() if value == 10.0}

by_target = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]  # NAS-Bench-201
by_source = sorted(by_target)


def cut(net, edges, none):
    """Whether no path leads from node 0 to node 3 where `none` stands for no connection."""
    reached = {0}
    for (source, target), operation in sorted(zip(edges, net)):
        if operation != none and source in reached:
            reached.add(target)
    return 3 not in reached


counts = {}
for label, edges, none in (("NAS-Bench-201's order", by_target, 0), ("by source, none = 1", by_source, 1)):
    unconnected = {net for net in accuracy if cut(net, edges, none)}
    at_chance, best = len(unconnected & chance), max(accuracy[net] for net in unconnected)
    counts[label] = at_chance, len(unconnected), best
    print(f"{label:22}: {at_chance} of {len(unconnected)} nets without a path at 10 %, best of them {best:.1f} %")
one, three = accuracy[(3,) * 6], accuracy[(2,) * 6]
print(f"all edges digit 2: {three:.1f} %, all edges digit 3: {one:.1f} % (NAS-Bench-201: 1x1 and 3x3)")

# With no edge between nodes 1 and 2, exchanging the two nodes leaves the same network: what is its spread?
twins = [(net, (net[1], net[0], net[2], 1, net[5], net[4])) for net in accuracy if net[3] == 1 and accuracy[net] > 80]
for metric in ("baseline_accuracy", "analog_accuracy"):
    gaps = [abs(bench.query_metric(a, metric) - bench.query_metric(b, metric)) for a, b in twins if a < b]
    print(f"{metric} of the same network under two names: {np.median(gaps):.2f} points apart (median of {len(gaps)})")
print("expected: NAS-Bench-201's order, as the search space is its")
naslib = counts["by source, none = 1"]
as_recorded = naslib[0] == naslib[1] == len(chance) and counts["NAS-Bench-201's order"][2] > 80
print("as recorded" if as_recorded else "NOT as recorded")
sys.exit(0 if as_recorded else 1)
PY
