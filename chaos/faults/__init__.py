"""Faults that end by themselves: each is a kernel object that one process holds, with a deadline in the kernel.

Reading order: `fault` → `network_rule` → `bpf_link` → `pod_link` → `delay_line` → `privileges` → `hog` → `holder`, the
process that holds one, with the standard library only; `holder_client`, its parent's side; `processes` → `kill`;
`pod_cgroups`, where faults of a pod go.
"""
