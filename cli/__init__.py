"""The one `podsonar` command; the only package that imports every other.

Reading order: `main` → `lazy_group` → `options` → `config`, `reload` → `agent`, `preflight`, `support_bundle`,
`collector`, `manager`, `replay`, `demo`.
"""
