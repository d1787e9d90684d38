"""The map of one window.

Reading order: `topology` → `node_coverage` → `join_state` → `join` → `masquerade` → `ambiguous_destinations` →
`vertices` → `vertex_labels` → `edge_volume` → `edges` → `kernel_witness` → `build`; `discovered`.
"""
