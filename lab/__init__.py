"""The test bed: what tests, demo and benchmarks observe. It imports only `podsonar`, `directory` and `delivery`."""
