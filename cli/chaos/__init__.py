"""The commands of experiments: in clusters and on hosts.

Reading order: `tenant_api`, `yaml_file` → `linux`, `linux_agent`; `runner_site` → `runs` → `commands`; `runner`,
`injector`.
"""
