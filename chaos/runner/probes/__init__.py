"""Probes that only a runner can make, and all probes of a step around its fault.

Reading order: `commands`, `k8s`, `edge` → `step`.
"""
