"""What may hold a capability.

Reading order: `unprivileged_user` → `supervisor` → `seccomp`, `loader` → `btf` → `kernel_headers` → `raw_tracepoint`,
`socket_iterator` → `load_diagnosis`; `bpf_structs` is shared with `capture`.
"""
