"""The cgroups in which a window's pods were seen connecting or accepting: `podCgroups` of the body, once per pod.

A path ends at the container. What is below it was named by whoever may create cgroups in the pod, and stays on the
node; so does a name below the pod that is no runtime's.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from node_agent.attribution.flow_decisions import FlowGroupDecision
from node_agent.capture.pod_cgroup import CONTAINER, is_cut, named_uid
from node_agent.privileged.bpf_structs import NAME_LEVELS
from podsonar.model import AcceptedFlow, Flow

MOST_PODS = 1024  # of a window; the kubelet's own default is 110
MOST_OF_POD = 8  # containers, with those that were restarted
MOST_CHARACTERS = 512
CGROUP_OF_FLOW = itemgetter(Flow._fields.index("cgroup"))


def container_path(names: tuple[str, ...], uid: str) -> str | None:
    """Return the path from the hierarchy's root to a pod's container by names of a cgroup, leaf first.

    The pod's level is the one that holds `uid`, else the outermost that is a pod's: a static pod's holds its config
    hash. None if no name is a pod's. `…` stands for what the kernel side had no room for.
    """
    levels = [place for place, name in enumerate(names) if named_uid(name)]
    if not levels:
        return None
    place = next((place for place in reversed(levels) if named_uid(names[place]) == uid), levels[-1])
    # A name such as `pod….slice:cri-containerd:0123…` is the container's already.
    if place and ":" not in names[place] and CONTAINER.fullmatch(names[place - 1]):
        place -= 1
    start = "/" if len(names) < NAME_LEVELS else "…/"
    path = start + "/".join(name + "…" if is_cut(name) else name for name in reversed(names[place:]))
    return path if len(path) <= MOST_CHARACTERS else "…" + path[1 - MOST_CHARACTERS :]


class PodCgroups:
    """The cgroups of each pod with delivered records; `names` has a cgroup's names, leaf first."""

    def __init__(self, names: Mapping[int, tuple[str, ...]]) -> None:
        self.names = names
        self.cgroups: defaultdict[str, set[int]] = defaultdict(set)

    def add_flows(self, decisions: Iterable[FlowGroupDecision]) -> None:
        """Add the connecting end."""
        for decision in decisions:
            if decision.reason is None:
                self.cgroups[decision.source.uid or ""].update(map(CGROUP_OF_FLOW, decision.group.flows))

    def add_accepted(self, uid: str, entry: AcceptedFlow) -> None:
        """Add the accepting end."""
        self.cgroups[uid].add(entry.cgroup)

    def paths(self) -> dict[str, list[str]]:
        """Return the distinct paths of each pod whose UID a cgroup's name holds, in order."""
        found: dict[str, list[str]] = {}
        for uid, cgroups in sorted(self.cgroups.items()):
            paths = {container_path(self.names.get(cgroup, ()), uid) for cgroup in cgroups}
            if named := sorted(path for path in paths if path):
                found[uid] = named
        return found

    def member(self) -> tuple[dict[str, Any], dict[str, int]]:
        """Return `podCgroups`, and counts of what is beyond its bounds: `pods`, and `cgroups` of the other pods."""
        paths = self.paths()
        listed = list(paths.items())[:MOST_PODS]
        more = {uid: len(of_pod) - MOST_OF_POD for uid, of_pod in listed if len(of_pod) > MOST_OF_POD}
        left_out = {"pods": len(paths) - len(listed), "cgroups": sum(more.values())}
        member = {
            uid: {"paths": of_pod[:MOST_OF_POD]} | ({"more": more[uid]} if uid in more else {})
            for uid, of_pod in listed
        }
        return member, {name: count for name, count in left_out.items() if count}
