"""Takes batches in, keeps them, serves the service discovery API and draws the map.

Reading order: `schema` → `store` → `http` → `ingest` → `service_map` → `history` → `policies` →
`installations` → `api` → `app` → `tls` → `server`;
`migrations`, `page`, `worker_threads`, `maintenance_loops`, `metrics`, `parts`.
"""
