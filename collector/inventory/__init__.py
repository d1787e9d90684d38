"""The inventory of one window.

Reading order: `scheduler` → `inventory` → `owners` → `field_table` → `redacted_text` → `redacted_fields` →
`redaction` → `inventory_parts`; `metrics`.
"""
