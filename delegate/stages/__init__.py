"""The stages of a task: a list of manifests is checked, tried, applied and waited for; or objects are taken away.

Reading order: `pod_rules` → `runner_rules`, `runner_directory` → `check` → `dry_run` → `apply` → `wait`; `remove` →
`injectors`.
"""
