"""Reads the Kubernetes API.

Reading order: `client` → `kinds` → `list_limits` → `paged_list` → `list_page`, `streaming_list` → `watch_stream`;
`malloc`.
"""
