"""The labels of a vertex: those of its Service, and those that all of its pods have. Pure."""

from collections.abc import Iterable, Mapping

from manager.service_map.topology import Topology

MAX_LABELS = 32
# Kubernetes' own limits: a prefix of 253, `/` and a name of 63 characters; a value of 63.
MAX_KEY, MAX_VALUE = 317, 63
# What controllers write per revision or per pod: no value of these groups services, or selects a workload's pods.
REVISION_LABELS = frozenset(
    (
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "controller-uid",
        "job-name",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/job-completion-index",
    )
)


def labels_by_service(topology: Topology) -> dict[tuple[str, str], Mapping[str, str]]:
    """The labels of each Service by its namespace and name."""
    return {(one["namespace"], one["name"]): one.get("labels") or {} for one in topology.services.values()}


def vertex_labels(own: Mapping[str, str], pods: Iterable[str], topology: Topology) -> dict[str, str]:
    """At most 32 labels: a Service's own, then those that all of the vertex's pods have with one value.

    What is no label by Kubernetes' limits is left out, and so is what tells revisions and pods apart.
    """
    found = [topology.pods[uid]["labels"] for uid in pods if uid in topology.pods]
    shared = set(found[0].items()).intersection(*(one.items() for one in found[1:])) if found else set()
    labels = {key: text for key, text in sorted({**dict(shared), **own}.items()) if is_label(key, text)}
    return dict(list(labels.items())[:MAX_LABELS])


def is_label(key: str, text: object) -> bool:
    """Whether a label can be one of a group of services."""
    return key not in REVISION_LABELS and 0 < len(key) <= MAX_KEY and isinstance(text, str) and len(text) <= MAX_VALUE
