"""The one `podsonar` command; the only package that imports every other.

Reading order: `main` → `lazy_group` → `options` → `config`, `reload` → `agent`, `check_table` → `preflight`,
`support_bundle`, `collector`, `stores`, `log_tokens`, `manager`, `manager_api`, `map`, `delegate`, `chaos_runs`,
`chaos`, `runner`, `injector`, `logs`, `linux`, `linux_agent`, `replay`, `demo`.
"""
