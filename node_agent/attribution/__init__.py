"""A capture becomes a batch.

Reading order: `pod_lookup` → `flow_groups` → `directory_answers` → `directory_client` → `filters` → `flow_decisions`,
`accepted_flows` → `node_name`, `json_format`, `connection_json`, `scan_sums`, `left_out_sources`, `pod_cgroups` →
`connections_body`; `log_envelopes` → `flow_log`.
"""
