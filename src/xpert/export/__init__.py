"""Files for others: what to program a chip with, netlists for circuit simulators, architectures for mappers."""
