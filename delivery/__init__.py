"""Batches reach the manager, each once.

Reading order: `batch` → `spool` → `token_file`, `proxies` → `manager_client` → `push` → `split_batch`; `metrics`.
"""
