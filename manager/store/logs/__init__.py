"""The log service's streams.

Reading order: `tables` → `lines` → `streams` → `reads`, `tokens`.
"""
