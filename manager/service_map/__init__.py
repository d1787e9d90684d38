"""The map of one window.

Reading order: `topology` → `node_coverage` → `join_state` → `join` → `masquerade` → `ambiguous_destinations` →
`vertices` → `edges` → `build`.
"""
