"""What the map says of a run: which windows are its, what it will touch, what it has touched, and when it must stop.

Reading order: `windows` → `plan` → `impact`, `watch`.
"""
