"""One run of one experiment, in a pod of its own.

Reading order: `environment` → `kserver_client` → `run_state`; `window_client` → `run_windows`; what is hit, by whom
and how: `targets` → `injectors` → `faults`; `probes`; `step_logs`; then `steps` → `app`.
"""
