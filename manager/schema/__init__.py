"""What agents push: `gunzip` → `records` → `observation`, `pod_cgroups` → `object_fields` → `push_schema`.

The API document (`document`) and the shapes that are generated from it (`models`).
"""
