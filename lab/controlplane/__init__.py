"""A real Kubernetes API server on this machine, in every version that is supported.

`programs` → `toolchain` → `binaries` → `certificates` → `ports` → `server` → `objects` → `etcd_bulk_load`.
"""

from lab.controlplane.server import ControlPlane

__all__ = ["ControlPlane"]
