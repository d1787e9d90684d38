"""`POST /api/v1/collections`: `quotas` → `handler`."""
