"""Which pod, service or node held an IP address, and when.

Reading order: `interval` → `interval_table` → `object_fields` → `pods` → `cluster_state` → `lookup`; `addresses`,
`configured_ranges`, `selection`; `snapshot` (the state as a value); `inventory_snapshots` → `from_inventory` (the state
from pushed bodies).
"""
