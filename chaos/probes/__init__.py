"""Probes: what a user checks before, during and after a fault; shared by runner and Linux agent.

Reading order: `comparator` → `attempt` → `confine` → `command_probe`, `http_probe`, `prom_probe` → `probe_rounds` →
`phases`.
"""
