"""The inventory of one window.

Reading order: `scheduler` → `inventory` → `owners` → `redaction_rules` → `redaction` → `inventory_parts`; `metrics`.
"""
