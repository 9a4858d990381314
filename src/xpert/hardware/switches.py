"""Where physics and the reference simulator part ways.

DNN+NeuroSim V1.3 has behaviours that look like mistakes. Each is one switch: True is what a chip would do, False what
the reference does. The model reads the switches and nothing else decides between the two; `PHYSICAL` is the default
everywhere, `REFERENCE` reproduces the reference's numbers. docs/hardware-model.md gives the effect of each on VGG16.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Switches:
    """One field per behaviour; True = physically right, False = as the reference has it."""

    # Circuits
    finfet_exact_division: bool = True
    """FinFET cells are 34/28 taller and folds are counted exactly; reference: integer divisions lose both."""

    fold_tolerance: bool = True
    """What fits exactly fits: a gate as wide as its cell allows is not folded; reference: the last bit of a rounding
    decides."""

    adder_tree_odd_inputs: bool = True
    """Adder trees carry an odd input to the next stage; reference: it is lost."""

    adder_narrow_width: bool = True
    """An adder wider than the width imposed on it still takes area; reference: it takes none."""

    encoder_output_stages: bool = True
    """All four stages of the flash encoder take time; reference: the last two are left out."""

    decoder_inverters: bool = True
    """Row decoders give their inverters area; reference: columns of inverters are left out."""

    decoder_drivers_alone: bool = True
    """A decoder's drivers alone charge what it drives; reference: with four outputs or fewer the gates before them do,
    too, so that a multiplexer of 4 columns may be slower than one of 8."""

    h_tree_wire_class: bool = True
    """H-tree wires widen with their length; reference: a chained comparison picks the same class for all."""

    h_tree_path: bool = True
    """An H-tree's delay is that of the path from root to leaf, like its energy; reference: of twice that length."""

    h_tree_spans_grid: bool = True
    """An H-tree is as long as the grid that it spans; reference: as one of the next power of two, so that the 17th tile
    doubles all wires."""

    interconnect_leakage: bool = True
    """Repeaters of all wires of buses and H-trees leak; reference: of a single wire, and chips leave even that out."""

    flash_plateau: bool = True
    """A flash comparison near its level takes the fit's largest delay; reference: that branch is unreachable, and the
    lowest level is left out."""

    adc_leakage: bool = True
    """ADCs leak as their transistor counts imply; reference: they do not."""

    sram_buffer_precharge: bool = True
    """Synchronous SRAM buffers spend precharge energy; reference: the load is never set."""

    sram_buffer_cell_leakage: bool = True
    """Cells of SRAM buffers leak; reference: they do not."""

    # Subarray
    whole_adc_groups: bool = True
    """A subarray has ceil(columns / columns_per_adc) ADCs; reference: the division is rounded down."""

    exact_access_counts: bool = True
    """Shift-adds, trees and buffer banks are used as often as the data need; reference: integer divisions round down,
    and to zero where fewer columns share an ADC than hold a weight."""

    sram_mux_decoder_leakage: bool = True
    """The column decoder of an SRAM subarray leaks; reference: it does not."""

    column_conductance: bool = True
    """A column's cells conduct in parallel, which settles it to half an ADC step; reference: to a fifth of a time
    constant of the mean of on and off resistance, so that a better off state slows it down."""

    compact_column_decoder: bool = True
    """Column multiplexers are as high as their pass gates, their decoder is a compact block; reference: both are as
    high as the decoder's gates in one column."""

    programmable_references: bool = True
    """ADC ranges that fit a layer need references that can be set; reference: they cost nothing."""

    reference_columns: bool = True
    """Reference columns are cells, and each ADC has a mirror that subtracts their current; reference: neither costs."""

    comparator_matching: bool = True
    """Comparators are as large, and trimmed, as the offset that is simulated needs; reference: minimum transistors."""

    shifters_above_supply: bool = True
    """Lines have level shifters where the write voltage exceeds the logic supply; reference: where it exceeds 1.5 V."""

    crosspoint_rows: bool = True
    """A row of a crosspoint array is one line with one level shifter; reference: it has a word line, too."""

    # Floorplan
    least_cells: bool = True
    """A mapping that chooses its tiles takes about the least cells; reference: the best use of cells among sizes of
    which the smallest is left out where a layer is wider, so that one channel more may double the area."""

    # PE and tile
    tree_energy_once: bool = True
    """A PE's adder tree is paid once per vector; reference: once per crossbar where a matrix is duplicated."""

    idle_pes_silent: bool = True
    """PEs of a tile that hold no weights spend nothing and are not summed; reference: they repeat the previous PE's
    energy, and a tree sums them."""

    keep_all_rows: bool = True
    """A PE of a pipelined chip works on all rows it is given; reference: rows beyond the PE are dropped silently."""

    whole_pe_columns: bool = True
    """A tile's trees and output buffer take the sums of all columns of its PEs; reference: of one subarray per PE."""

    own_buffer_cores: bool = True
    """Tiles of each mapping have their own number of buffer cores; reference: one number for both."""

    tile_bus: bool = True
    """A tile's H-tree is as wide as the chip says (`buffers.tile_bus_bits`); reference: as all rows of a tile's PEs, so
    that the same words leave a larger tile sooner."""

    banks_feed_bus: bool = True
    """Buffers have as many banks as fill their bus in every cycle; reference: as many as hold the bits, with lines of
    one word per PE, so that a buffer which must hold more bits is faster."""

    # Chip
    logic_clock: bool = True
    """Synchronous digital blocks run on the logic clock; reference: counted at 1 GHz, charged a sensing period each."""

    floorplan: bool = True
    """Tiles lie in slots of a floorplan, whose white space is charged and which the H-tree spans; reference: areas of
    tiles are added up, and the H-tree has as many leaves as there are tiles, a largest tile apart."""

    whole_cycles: bool = True
    """Sensing cycles are whole logic cycles; reference: of any length."""

    idle_lanes_silent: bool = True
    """Lanes of the H-tree, adder trees, ReLU units and residual adders that carry no word spend nothing; reference:
    they work as one."""

    common_pitch: bool = True
    """All layers see the H-tree with the pitch of a slot, as built; reference: of their own tile."""

    global_word_counts: bool = True
    """Chip-level trees and pooling work once per output value; reference: per column and per position."""

    given_bus: bool = True
    """The global bus is as wide as the chip's `buffers` say; reference: it grows with the layers, and is halved until
    it is not wider than that, so that a few lanes more cost half of the bandwidth."""

    units_match_bus: bool = True
    """The chip has as many adder trees, ReLU units and residual adders as sums cross its bus at once; reference: as
    many as the sums that its widest tile puts out at once."""

    average_pooling: bool = True
    """Averages are taken by an adder and a register per channel; reference: all pooling is by trees of comparators, as
    large as the largest window."""

    whole_bus: bool = True
    """Layer by layer, the running layer has the global buffer's whole bandwidth; reference: its tiles' share of it."""

    output_constants: bool = True
    """A constant is added to each output: bias, batch norm that weights hold, and what compensates offsets of ADCs;
    reference: it costs nothing."""

    chip_batch_norm: bool = True
    """Batch norm that a chip measures is a multiplication and an addition per output; reference: it costs nothing."""

    copies_not_summed: bool = True
    """Copies of a pipelined layer's tiles are not added up; reference: the chip's trees add the tiles of all copies."""

    # Leakage
    own_tiles_leak: bool = True
    """All tiles leak during the whole inference; reference: those of the running layer do not."""

    fresh_tree_leakage: bool = True
    """Adder trees leak as built; reference: a layer inherits the figure of the last layer that used one."""

    all_buffer_cores_leak: bool = True
    """Every core of a tile buffer leaks; reference: one input core and one output core."""

    global_blocks_leak: bool = True
    """The global buffer, adder tree and ReLU units leak; reference: only tiles do."""

    # Figures of merit
    true_output_positions: bool = True
    """Strided layers have floor((size - kernel) / stride) + 1 positions per side; reference: the ratio of the areas."""

    count_output_operations: bool = True
    """Operations are 2 per multiply-accumulate that is done; reference: as if every input pixel were an output."""

    post_layout_energy: bool = True
    """The post-layout factor is part of every dynamic energy; reference: of TOPS/W alone."""


PHYSICAL = Switches()
"""What a chip would do."""

REFERENCE = Switches(**{field.name: False for field in fields(Switches)})
"""What DNN+NeuroSim V1.3 does, faults included."""

SWITCHES = {"physical": PHYSICAL, "reference": REFERENCE}
"""By name."""

__all__ = ["PHYSICAL", "REFERENCE", "SWITCHES", "Switches"]
