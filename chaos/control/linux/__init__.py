"""Linux infrastructure, server side: hosts that confirm, take tasks, and report.

Reading order: `tables` → `infras` → `tasks` → `deadlines` → `metrics` → `agent_routes`, `person_routes`.
"""
