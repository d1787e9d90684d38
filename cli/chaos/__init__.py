"""The commands of experiments: in clusters and on hosts.

Reading order: `linux`, `linux_agent`; `runs` → `commands`; `runner`, `injector`.
"""
