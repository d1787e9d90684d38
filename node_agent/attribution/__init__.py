"""A capture becomes a batch.

Reading order: `pod_lookup` → `flow_groups` → `directory_answers` → `directory_client` → `filters` → `flow_decisions` →
`node_name` → `body`; `log_envelopes` → `flow_log`.
"""
