"""Chaos experiments: their server sides, faults that end by themselves, probes, and the programs on hosts and nodes.

Reading order: `task_action` → `experiment_probes`, `guard_settings`, `window_settings`, `step_phases`; `control` (in
the manager's process); `faults` → `injector`, `probes` → `linux_agent`, `runner`.
"""
