"""The commands of the manager, and those that write into its database.

Reading order: `stores` → `log_tokens` → `commands`.
"""
