"""A real Kubernetes API server on this machine, in every version that is supported.

`programs` → `toolchain` → `binaries` → `certificates` → `server` → `objects`.
"""

from lab.controlplane.server import ControlPlane

__all__ = ["ControlPlane"]
