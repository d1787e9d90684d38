"""The resources of the API's document, one a file.

Reading order: `agent_config` → `agents`, `agent_tokens`, `installations`, `settings`; `objects` →
`discovered_services` → `network_map_rules` → `network_maps`; `connection_wire` → `connections`.
"""
