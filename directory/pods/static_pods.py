"""Which pod of the API a static pod is: its cgroup carries the kubelet's UID of it, the hash of its manifest.

The kubelet writes that UID into the annotation `kubernetes.io/config.hash` of the mirror pod. Whoever may create a pod
may write the same, so an alias counts only

* for a mirror pod: the API server takes `kubernetes.io/config.mirror` at creation alone, and a kubelet runs no such pod
  but its own; that it has taken it shows in the start time, which a tenant cannot write;
* on the node of that pod, and for nobody as soon as two pods claim it;
* if it is no UUID: that is the form of the API's own UIDs, also of those that are not known here. (A static pod whose
  manifest sets a UUID is not resolved.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from directory.object_fields import mapping_at, text_at
from directory.pods.table import uid_key
from directory.pods.timestamps import time_ns

CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_MIRROR = "kubernetes.io/config.mirror"


def mirrored_hash(pod: Mapping[str, Any]) -> str | None:
    """Return the kubelet's UID of the static pod that an object mirrors; None if it mirrors none."""
    annotations = mapping_at(mapping_at(pod, "metadata"), "annotations")
    config_hash = text_at(annotations, CONFIG_HASH)
    if not text_at(annotations, CONFIG_MIRROR) or not text_at(mapping_at(pod, "spec"), "nodeName"):
        return None
    if time_ns(mapping_at(pod, "status").get("startTime")) is None:
        return None
    return None if not config_hash or is_uuid(config_hash) else config_hash


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in canonical form, in any case."""
    return isinstance(uid_key(text.lower()), int)


@dataclass(slots=True)
class StaticPods:
    """UIDs of the API's pods by (node, UID that the node's kubelet gave); several nodes may give the same one."""

    claims: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def put(self, node: str, config_hash: str, uid: str) -> None:
        """Record that a pod mirrors the static pod of a node."""
        self.claims.setdefault((node, config_hash), set()).add(uid)

    def claimants(self, node: str | None, config_hash: str) -> set[str]:
        """Return the UIDs of the pods that mirror a node's static pod; of any node's, if none is named."""
        if node is not None:
            return self.claims.get((node, config_hash), set())
        return {uid for (_, claimed), uids in self.claims.items() if claimed == config_hash for uid in uids}

    def keep(self, uids: set[str]) -> None:
        """Drop every claim of a pod that is not among some."""
        kept = {key: claimants & uids for key, claimants in self.claims.items()}
        self.claims = {key: claimants for key, claimants in kept.items() if claimants}

    def uids(self) -> set[str]:
        """Return the UIDs of all claimants."""
        return set().union(*self.claims.values())
