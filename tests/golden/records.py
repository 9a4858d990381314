"""All kinds of golden records."""

from __future__ import annotations

from tests.golden import command
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
    )
}
