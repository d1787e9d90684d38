"""What may hold a capability.

Reading order: `supervisor` → `seccomp`, `loader` → `btf` → `kernel_headers` → `raw_tracepoint`, `socket_iterator` →
`load_diagnosis`; `bpf_structs` is shared with `capture`.
"""
