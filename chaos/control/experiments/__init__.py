"""Runs of experiments: what runners report, and what they fetch.

Reading order: `runs` → `map` → `kserver`, `edge_questions` → `runner_manifests` → `delegated` →
`run_order` → `run_api`.
"""
