"""Experiments and their runs.

Reading order: `tables` → `runs`.
"""
