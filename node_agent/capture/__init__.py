"""One window on this node becomes a file.

Reading order: `loader_client` → `bpf_maps` → `pod_cgroup` → `open_sockets`, else `process_table` → `open_connections` →
`window_capture` → `capture_file` → `capture_queue`.
"""
