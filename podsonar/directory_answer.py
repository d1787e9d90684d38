"""What the directory is asked, and what it answers: `POST /v1/resolve`, the same for a collector and for replay.

Addresses and times are in the forms of `podsonar/model.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from podsonar.timestamp import rfc3339

OwnerKind = Literal["Service", "Pod", "Node", "External", "Ambiguous", "Unknown"]
Exclusion = Literal["namespace_not_observed", "namespace_blacklisted", "orphaned_pod", "batch_pod"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the directory: who owned `address` (at `port`) in `[from_ns, to_ns]`, or who is `pod_uid`.

    `node` is the node whose kernel showed the UID: static pods of several nodes may share one.
    """

    address: str | None = None
    port: int | None = None
    from_ns: int = 0
    to_ns: int = 0
    pod_uid: str | None = None
    node: str | None = None

    def wire(self) -> dict[str, Any]:
        """One element of `queries` in `POST /v1/resolve`."""
        if self.pod_uid is not None:
            return {"podUid": self.pod_uid} if self.node is None else {"podUid": self.pod_uid, "node": self.node}
        return {
            "address": self.address,
            "port": self.port,
            "from": rfc3339(self.from_ns),
            "to": rfc3339(self.to_ns),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """A certain answer of the directory; `reason` explains one that is not a plain owner.

    `node_name`, `host_network`, `workload` and `excluded` are for pods only: `workload` is the root of the owner chain
    (`group`, `kind`, `namespace`, `name`, `uid`) as far as listed objects show; `excluded` is the selection rule that
    leaves the pod out as a source.
    """

    kind: OwnerKind
    uid: str | None = None
    namespace: str | None = None
    name: str | None = None
    reason: str | None = None
    node_name: str | None = None
    host_network: bool = False
    workload: Mapping[str, str] | None = field(default=None, hash=False)
    excluded: Exclusion | None = None

    def wire(self) -> dict[str, Any]:
        """One element of `answers` in `POST /v1/resolve`; the pod's fields are there for pods only."""
        body: dict[str, Any] = {
            "kind": self.kind,
            "uid": self.uid,
            "namespace": self.namespace,
            "name": self.name,
            "reason": self.reason,
        }
        if self.kind == "Pod":
            body["nodeName"] = self.node_name
            body["hostNetwork"] = self.host_network
            body["workload"] = dict(self.workload) if self.workload else None
            body["excluded"] = self.excluded
        return body

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> "Answer":
        """The value of one answer; unknown fields are ignored."""
        return cls(
            kind=body["kind"],
            uid=body.get("uid"),
            namespace=body.get("namespace"),
            name=body.get("name"),
            reason=body.get("reason"),
            node_name=body.get("nodeName"),
            host_network=bool(body.get("hostNetwork", False)),
            workload=body.get("workload"),
            excluded=body.get("excluded"),
        )
