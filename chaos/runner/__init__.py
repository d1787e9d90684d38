"""One run of one experiment, in a pod of its own.

Reading order: `environment` → `kserver_client` → `run_state` → `settings` → `targets` → `faults` → `guarded_targets` →
`pod_delete`; what injectors hold: `injectors` → `injector_server` → `injector_pods` → `injection` → `destination` →
`pod_faults` → `container_kill`; `k8s_probe`, `edge_probe` → `step_probes`; `step_logs`; then `steps` → `app`.
"""
