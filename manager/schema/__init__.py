"""What agents push: `gunzip` → `records` → `observation` → `object_fields` → `push_schema`.

The API document (`document`) and the shapes that are generated from it (`models`).
"""
