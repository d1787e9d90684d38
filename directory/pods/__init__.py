"""Pods in the directory: which addresses and ports they had, and when.

Reading order: `status`, `timestamps` → `table` → `intervals`, `host_ports`, `static_pods`.
"""
