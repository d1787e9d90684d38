"""What may hold a capability.

Reading order: `unprivileged_user` → `supervisor` → `seccomp`, `loader` → `kept_code` → `compiler` → `btf`,
`kernel_headers` → `program_code` → `raw_tracepoint`, `socket_iterator` → `load_diagnosis`; `bpf_structs` is shared
with `capture`.
"""
