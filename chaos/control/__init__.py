"""The server side of experiments.

Reading order: `judge`; `logs`, `linux`, `experiments` → `mount`, into the manager's process.
"""
