"""One window on this node becomes a file.

Reading order: `loader_client` → `bpf_maps` → `open_sockets`, `open_connections` → `pod_cgroup` → `window_capture` →
`capture_file` → `capture_queue`.
"""
