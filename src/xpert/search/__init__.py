"""What the decisions of a search mean on a chip: phase 1, phase 2, both at once, and what they are judged by."""
