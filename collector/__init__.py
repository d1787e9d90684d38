"""Lists what runs in the cluster on a cron window and answers who owned an address and when.

Reading order: `k8s` → `inventory`, `directory` → `app`.
"""
