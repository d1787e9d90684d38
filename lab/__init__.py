"""The test bed: what tests, demo and benchmarks observe.

Reading order: `simulated` → `applications` → `demo` → `controlplane` → `real_cluster`. It imports none of the programs.
"""
