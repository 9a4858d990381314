"""Networks from ONNX and QONNX files: `reading.py` the file, `building.py` the graph, `operators.py` its operators.

The reader goes by the graph. Names say nothing: exporters merge equal tensors of the whole network under the name of
the first, and rename kernels.
"""
