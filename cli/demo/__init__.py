"""`podsonar demo`: `command` → `processes`, or `replay` where there is no root or BPF."""
