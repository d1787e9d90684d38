"""Phases in which a step of a run has ended, for the runner that ends it and the manager that reads it."""

ENDED = frozenset({"Completed", "Completed_With_Probe_Failure", "Error", "Stopped", "Skipped", "Timeout"})
