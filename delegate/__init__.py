"""Applies manifests that the manager hands out: one request is held at the manager, nothing listens.

Reading order: `task` → `poll` → `log_lines` → `pod_rules` → `runner_rules` → `check` → `dry_run` → `apply` → `wait` →
`report` → `remove` → `injectors` → `run_task` → `metrics` → `app` → `preflight`.
"""
