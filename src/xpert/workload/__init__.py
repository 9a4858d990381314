"""Layers as matrix-vector work: `xpert.workload.layers` (no torch) and `xpert.workload.trace`."""
