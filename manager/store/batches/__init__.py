"""What agents and collectors delivered: batches, and the windows, inventories and objects in them.

Reading order: `object_summary`, `sequences` → `writes` → `queries` → `objects` → `address_owners`.
"""
