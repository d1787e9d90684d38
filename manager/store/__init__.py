"""The database.

Reading order: `engine` → `tables` → `database` → `object_summary` → `batches` → `queries` → `retention`; `token_format`
→ `tokens` → `token_import`.
"""
