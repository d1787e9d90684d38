"""Pods and nodes without a kubelet.

Reading order: `cgroups` → `network` → `pods` → `two_nodes`; `pod_program` → `connect_modes` run inside a pod.
"""
