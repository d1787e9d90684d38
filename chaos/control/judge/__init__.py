"""What a fault did, by the map.

Reading order: `observed_edges` → `edge_pattern` → `impact` → `hypothesis` → `prediction` → `guards` → `verdict` →
`edge_claim`, `escape`, `report`.
"""
