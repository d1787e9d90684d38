"""The database.

Reading order: `postgresql` → `engine` → `tables`, `delegate_tables` → `database`, `conflicts` → `tenancy`,
`object_ids`, `retention`; `batches`; `agents` → `agent_lists`; `tokens`; `maps`; `api_settings`; `experiments`;
`logs`.
"""
