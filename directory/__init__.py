"""Which pod, service or node held an IP address, and when.

Reading order: `interval` → `interval_table`, `pod_table` → `pod_timestamps` → `pod_intervals` →
`cluster_state` → `lookup`; `addresses`, `selection`, `snapshot` (the state as a value),
`inventory_snapshots` (the state from pushed bodies).
"""
