"""The live directory.

Reading order: `reflector` → `watch_events` → `progress_proof` → `live_directory` → `snapshot_file`; `resolve_request` →
`server`; `metrics`.
"""
