"""Runs of experiments: what runners report, and what they fetch.

Reading order: `run_events` → `run_merge` → `score` → `manifest` → `run_document` → `runs` →
`sweeper`, `kserver` → `run_maps`, `run_plan`, `run_impact`, `edge_questions`,
`map_watch` → `run_api`; `runner_manifests`.
"""
