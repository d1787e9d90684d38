"""The schema's history, applied by `podsonar manager migrate` and when the manager starts."""
