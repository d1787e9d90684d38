"""The inventory of one window.

Reading order: `scheduler` → `inventory` → `owners` → `field_table` → `structure` → `redaction_rules` → `redaction` →
`inventory_parts`; `metrics`.
"""
