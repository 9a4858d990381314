"""The harness that holds the model against rows of reference simulators; no search needs it."""
