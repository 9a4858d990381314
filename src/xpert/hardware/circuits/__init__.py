"""Circuits of an in-memory-computing chip: area, delay, energy and leakage of each."""

from xpert.hardware.circuits.adder import adder, adder_latency
from xpert.hardware.circuits.adder_tree import adder_tree
from xpert.hardware.circuits.column_mux import column_mux, column_mux_gates, read_write_mux
from xpert.hardware.circuits.cost import Cost
from xpert.hardware.circuits.flash_adc import flash_adc, flash_encoder
from xpert.hardware.circuits.flip_flop import flip_flop_bank
from xpert.hardware.circuits.level_shifter import level_shifter
from xpert.hardware.circuits.precharger import precharger, sram_column_delay, sram_write_driver
from xpert.hardware.circuits.relu import relu
from xpert.hardware.circuits.row_decoder import row_decoder
from xpert.hardware.circuits.sar_adc import sar_adc
from xpert.hardware.circuits.shift_add import shift_add, shift_add_latency
from xpert.hardware.circuits.switch_matrix import switch_matrix, wordline_switch_matrix
