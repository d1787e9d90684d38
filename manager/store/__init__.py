"""The database.

Reading order: `postgresql` → `engine` → `tables` → `database` → `object_summary` → `batches` → `queries` → `objects` →
`retention`; `token_format` → `tokens` → `token_import`.
"""
