"""The agent of a Linux host: asks the manager for tasks, injects their faults, reports.

Reading order: `access_key` → `lserver_client` → `journal` → `ssh_ports` → `fault_table` → `log_lines` → `result` →
`task_run` → `metrics` → `agent_loop`; `host_preflight`.
"""
