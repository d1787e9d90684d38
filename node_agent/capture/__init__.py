"""One window on this node becomes a file.

Reading order: `pod_cgroup` → `process_table` → `fair_share` → `volume_sums` → `kernel_program` → `open_connections` →
`own_cgroup` → `window_volume` → `kernel_counters` → `third_witness` → `window_capture` → `files`.
"""
