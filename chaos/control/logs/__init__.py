"""The log service.

Reading order: `parse` → `access` → `tails` → `tail` → `merge` → `answer_pieces` → `metrics` → `handlers` → `routes`;
`retention`.
"""
