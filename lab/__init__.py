"""The test bed: what tests, demo and benchmarks observe.

Reading order: `simulated` → `demo` → `controlplane` → `real_cluster`. It imports none of the programs.
"""
