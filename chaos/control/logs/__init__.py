"""The log service.

Reading order: `parse` → `access` → `tails` → `tail` → `merge` → `metrics` → `handlers` → `routes`; `retention`.
"""
