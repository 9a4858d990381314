"""Circuits of an in-memory-computing chip: area, delay, energy and leakage of each."""

from xpert.hardware.circuits.adder import adder, adder_latency
from xpert.hardware.circuits.adder_tree import adder_tree
from xpert.hardware.circuits.average_pooling import average_pooling
from xpert.hardware.circuits.bit_line import precharger, sram_column_delay, sram_write_driver
from xpert.hardware.circuits.buffer import Banks, banks, register_file, sram_buffer, sram_cell_leakage
from xpert.hardware.circuits.bus import bus
from xpert.hardware.circuits.column_mux import column_mux, column_mux_gates, read_write_mux
from xpert.hardware.circuits.comparator import comparator
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.circuits.h_tree import beyond_leaf, h_tree
from xpert.hardware.circuits.level_shifter import level_shifter
from xpert.hardware.circuits.max_pooling import max_pooling
from xpert.hardware.circuits.multiply_add import multiply_add
from xpert.hardware.circuits.relu import relu
from xpert.hardware.circuits.row_decoder import row_decoder
from xpert.hardware.circuits.sense_amplifier import sense_amplifier, voltage_sense_amplifier
from xpert.hardware.circuits.shift_add import shift_add, shift_add_latency
from xpert.hardware.circuits.sigmoid import sigmoid
from xpert.hardware.circuits.switch_matrix import switch_matrix, wordline_switch_matrix

__all__ = [
    "Banks",
    "Cost",
    "adder",
    "adder_latency",
    "adder_tree",
    "average_pooling",
    "banks",
    "beyond_leaf",
    "bus",
    "column_mux",
    "column_mux_gates",
    "comparator",
    "flip_flop_bank",
    "h_tree",
    "level_shifter",
    "max_pooling",
    "multiply_add",
    "precharger",
    "read_write_mux",
    "register_file",
    "relu",
    "row_decoder",
    "sense_amplifier",
    "shift_add",
    "shift_add_latency",
    "sigmoid",
    "sram_buffer",
    "sram_cell_leakage",
    "sram_column_delay",
    "sram_write_driver",
    "switch_matrix",
    "voltage_sense_amplifier",
    "wordline_switch_matrix",
]
