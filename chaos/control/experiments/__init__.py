"""Runs of experiments: what runners report, and what they fetch.

Reading order: `runs` → `map` → `kserver`, `edge_questions` → `run_api`; `runner_manifests`.
"""
