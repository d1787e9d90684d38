"""Which pod, service or node held an IP address, and when.

Reading order: `interval` → `interval_table`, `pod_table` → `object_fields` → `pod_status`, `pod_timestamps` →
`pod_intervals`, `host_ports`, `static_pods` → `cluster_state` → `lookup`; `addresses`, `configured_ranges`,
`selection`; `snapshot` (the state as a value); `inventory_snapshots` → `from_inventory` (the state from pushed bodies).
"""
