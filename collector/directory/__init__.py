"""The live directory.

Reading order: `reflector` → `watch_events` → `live_directory` → `snapshot_file`; `resolve_request` → `server`;
`metrics`.
"""
