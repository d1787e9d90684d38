"""Captures on disk, until the directory has resolved them.

Reading order: `capture_volumes` → `capture_header` → `capture_file` → `capture_queue`.
"""
