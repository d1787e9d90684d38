"""Windows become history: a window's map is computed once and kept as Parquet.

Reading order: `map_tables` (a map as tables) → `map_json` (tables as the API's JSON) → `files` → `archive` (one window,
written and read) → `window_maps` (maps by window, from the archive or from batches) → `keeper` (which windows are due).
Edges over many windows: `edges`. Then `retention` → `service`, which brings all of it together.
"""
