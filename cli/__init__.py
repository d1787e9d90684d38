"""The one `podsonar` command; the only package that imports every other.

Reading order: `main` → `lazy_group` → `options` → `config`, `reload`, `check_table`; `agent`; `collector`,
`collector_windows`; `manager`; `manager_api` → `map`, `logs`, `chaos`; `delegate`; `replay`; `demo`.
"""
