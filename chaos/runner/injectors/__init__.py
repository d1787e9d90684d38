"""The injectors of a run: pods on the targets' nodes that hold its faults and report to the runner.

Reading order: `registry` → `server` → `pods`.
"""
