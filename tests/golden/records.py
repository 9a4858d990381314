"""All kinds of golden records."""

from __future__ import annotations

from tests.golden import analog, chips, command, problems
from tests.golden.store import Kind

_FLOAT64 = 1e-9
"""What double precision keeps with other vector units and libraries: the last bits of exp and log differ."""

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "phase1",
            "xpert search --stop-after architecture: the design, its objective and bound, and the proven fronts",
            command.searches,
            command.search,
            elsewhere=_FLOAT64,
        ),
        Kind(
            "phase1_scores",
            "xpert search --stop-after architecture with a score of untrained networks as the quality",
            command.scored_searches,
            command.search,
        ),
        Kind(
            "cost",
            "xpert.hardware.evaluate(design, switches).to_dict() of random chips",
            chips.chips,
            chips.cost,
            elsewhere=_FLOAT64,
            drawn=True,
        ),
        Kind(
            "switches",
            "xpert.hardware.evaluate with each switch flipped alone: area, latency and energy in SI units",
            chips.switched_chips,
            chips.each_switch,
            elsewhere=_FLOAT64,
            drawn=True,
        ),
        Kind(
            "solve",
            "xpert solve with every strategy on random problems",
            problems.problems,
            problems.solutions,
            elsewhere=_FLOAT64,
            drawn=True,
        ),
        Kind(
            "solve_reference",
            "xpert solve --strategy exact on the problems of the reference data",
            problems.reference_problems,
            problems.reference_solution,
            elsewhere=_FLOAT64,
            shared=True,
        ),
        Kind(
            "precision",
            "xpert search, whole runs on digits that share their trained networks: the design and the main results",
            command.runs,
            command.run,
        ),
        Kind(
            "ni_outputs",
            "xpert.analog.to_analog and ni_accuracy on a small network: logits, and accuracies of three chips",
            analog.settings,
            analog.outputs,
        ),
        Kind(
            "cli",
            "xpert evaluate --json and xpert compare --json on the quickstart's typical design",
            command.commands,
            command.evaluated,
            elsewhere=_FLOAT64,
        ),
    )
}
