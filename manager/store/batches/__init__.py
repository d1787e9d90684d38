"""What agents and collectors delivered: batches, and the windows, inventories and objects in them.

Reading order: `object_summary`, `window_rows` → `inventories`, `sequences` → `writes` → `queries` →
`bounded_groups` → `window_batches` → `window_blocks` → `object_lists` → `address_owners`.
"""
