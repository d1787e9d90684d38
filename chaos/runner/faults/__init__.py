"""The faults of a run's steps, each from its settings to the state of its targets.

Reading order: `context` → `settings` → `destination` → `guarded_targets`; by the API server: `pod_delete`; by
injectors: `inject_and_release` → `stress_and_network` → `container_kill`.
"""
