"""The commands of the node agent.

Reading order: `commands` → `preflight`, `support_bundle`.
"""
