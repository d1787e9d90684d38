"""The cluster of `podsonar demo`: `shop` → `fake_api_server` → `api_server` → `compare`; `traffic` for experiments."""
