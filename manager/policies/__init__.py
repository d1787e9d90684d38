"""Kubernetes NetworkPolicy: what was observed, as policies; and what policies would have blocked of it.

Reading order: `observed` → `pod_flows` → `policy_schema` → `evaluate` → `generate` → `policy_yaml`.
"""
