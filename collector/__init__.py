"""Lists what runs in the cluster on a cron window and answers who owned an address and when.

Reading order: `k8s` → `request_guard` → `orders` → `inventory`, `directory` → `app`.
"""
