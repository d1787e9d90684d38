"""Batches reach the manager, each once.

Reading order: `batch` → `sequence` → `spool_file` → `spool` → `token_file`, `proxies` → `manager_url` →
`deadline_stream` → `manager_client` → `push_response` → `push` → `split_batch`; `metrics`.
"""
