"""A real Kubernetes API server on this machine: `binaries` → `certificates` → `server` → `objects`."""

from lab.controlplane.server import ControlPlane

__all__ = ["ControlPlane"]
