"""What agents push: `gunzip` → `push_schema`."""
