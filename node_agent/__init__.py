"""Traces TCP connects on one node and turns them into connections between pods and services.

Reading order: `privileged` → `capture` → `attribution` → `runtime`;
`replay_inventory`, `replay` and `preflight` beside `runtime`.
"""
