"""The service discovery API: `handlers` → `lists` → `maps` → `serializers`."""
