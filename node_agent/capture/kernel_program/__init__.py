"""The program in the kernel, as the agent has it: attached by a loader, its maps in the agent's memory.

Reading order: `loader_client` → `map_entries` → `bpf_maps`.
"""
