"""Edges over two windows and over many.

Reading order: `absence` → `diff` → `chunks` → `history` → `seen` → `changes`; `explain`.
"""
