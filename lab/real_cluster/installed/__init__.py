"""Podsonar on the real cluster: `install` → `shop` → `shop_pods` → `compare` → `resource_usage` → `prometheus`."""
