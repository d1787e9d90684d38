"""Reads the Kubernetes API.

Reading order: `access` → `kubeconfig` → `credentials` → `transport` → `client` → `kinds` → `list_limits` →
`paged_list` → `list_page`, `streaming_list` → `watch_stream`; `malloc`.
"""
