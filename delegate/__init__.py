"""Applies manifests that the manager hands out: one request is held at the manager, nothing listens.

Reading order: `task` → `poll` → `log_lines` → `report` → `stages` → `run_task` → `metrics` → `app` → `preflight`.
"""
