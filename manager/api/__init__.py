"""The service discovery API, one resource a file.

Reading order: `routes` (the document's operations and their handlers) → `endpoint` (key, tenant, parameters) → `wire`,
`serializers`, `lists` → `agents`, `agent_config`, `agent_tokens`, `installations`, `settings` → `objects` →
`discovered_services` → `network_maps`, `network_map_rules`; ours: `handlers`, `history_routes` → `map_handlers` →
`change_handlers` → `explain_handlers` → `graph_handlers` →
`policy_handlers` → `tag_handlers`.
"""
