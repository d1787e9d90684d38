"""The service discovery API.

Reading order: `routes` (the document's operations and their handlers) → `endpoint` (key, tenant, parameters) → `wire`,
`lists` → `resources`; ours: `history`.
"""
