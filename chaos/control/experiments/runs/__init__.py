"""What a run is: its manifest, its state by its events, its document, and its row in the store.

Reading order: `events` → `merge` → `score` → `manifest` → `document` → `store` →
`each_run` → `ends` → `new_run`, `sweeper`.
"""
