"""The commands of experiments: in clusters and on hosts.

Reading order: `tenant_api` → `linux`, `linux_agent`; `runner_site` → `runs` → `commands`; `runner`, `injector`.
"""
