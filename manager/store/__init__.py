"""The database.

Reading order: `postgresql` → `engine` → `tables` → `database` → `object_summary` → `sequences` → `batches` →
`queries` → `objects` → `retention`; `window_maps`; `address_owners`; `tenancy` → `object_ids` → `agents`;
`token_format` → `tokens` → `token_import`;
`log_tables` → `log_lines` → `log_streams` → `log_reads`, `log_tokens`;
`agent_lists`, `agent_tokens`, `api_settings`, `discovered_services`, `network_maps`;
`experiment_tables` → `experiment_runs`; `delegate_tables`.
"""
