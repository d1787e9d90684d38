"""Our own operations: the maps of windows, and what changed between them.

Reading order: `routes`; `window_maps` → `changes` → `explain` → `graph`, `policy_flows`; `tags`.
"""
