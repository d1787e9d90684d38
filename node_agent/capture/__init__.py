"""One window on this node becomes a file.

Reading order: `loader_client` → `fair_share` → `volume_sums` → `map_entries` → `bpf_maps` → `pod_cgroup` →
`open_sockets`, else `process_table` → `open_connections` → `own_cgroup` → `window_volume` → `kernel_counters` →
`third_witness` → `window_capture` → `capture_volumes` → `capture_header` → `capture_file` → `capture_queue`.
"""
