"""The service discovery API: `handlers` → `serializers`."""
