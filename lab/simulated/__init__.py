"""Pods and nodes without a kubelet.

Order: `cgroups` → `network` → `pods` → `two_nodes`; `pod_program` → `network_namespace`, `port_scans` →
`connect_modes` → `socket_passing` in a pod; `service_program` in a pod that serves requests.
"""
