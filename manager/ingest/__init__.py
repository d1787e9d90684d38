"""`POST /api/v1/collections`: `body_limits` → `quotas` → `handler`."""
