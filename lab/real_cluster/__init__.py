"""A real Kubernetes cluster of one or two nodes on this machine, with real pods.

`layout` (names and addresses) → `daemons` (processes) → `network` (namespaces, links) → `images` → `settings` (of
containerd, kubelet, kube-proxy) → `kernel` (what kubelets change) → `addons` (name service) → `cluster` (up, down).
"""
