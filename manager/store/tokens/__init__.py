"""Tokens of agents and keys of people.

Reading order: `token_format` → `issued` → `agents`, `import_file`.
"""
