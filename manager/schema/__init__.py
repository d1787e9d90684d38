"""What agents push: `gunzip` → `records` → `observation` → `object_fields` → `push_schema`."""
