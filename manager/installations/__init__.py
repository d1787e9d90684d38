"""Agents that a delegate installs: what is applied, by whom, in which state.

Reading order: `agent_values` → `agent_manifests` → `image_registry` → `owned_objects` → `log_access` → `tasks` →
`installations` → `handout` → `reports` → `progress` → `routes`.
"""
