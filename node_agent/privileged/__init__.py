"""What may hold a capability.

Reading order: `supervisor` → `seccomp`, `loader` → `btf` → `kernel_headers` → `raw_tracepoint` → `load_diagnosis`;
`bpf_structs` is shared with `capture`.
"""
