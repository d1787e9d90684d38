"""A real Kubernetes cluster of one or two nodes on this machine, with real pods.

`addressing` → `daemons` → `node_network` → `images` → `daemon_configs` → `sysctls` → `addons` → `audit` →
`cluster` → `attach`; then `debian_image`, `installed`.
"""
