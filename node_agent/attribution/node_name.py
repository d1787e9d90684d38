"""Checks the configured node name against the directory's: a name in other case, or as FQDN, means the same node."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from node_agent.attribution.flow_groups import FlowGroups
from podsonar.directory_answer import Answer, Query


class NodeNames(NamedTuple):
    """The name that the directory uses for this node, and one sentence if it is not the configured one."""

    name: str
    mismatch: str | None = None


def first_label(name: str) -> str:
    """Return the host part of a name, in lower case."""
    return name.lower().partition(".")[0]


def node_name_of(configured: str, answers: Mapping[Query, Answer]) -> NodeNames:
    """Return the node's name as the directory has it for the pods that this kernel named.

    One kernel may run pods of several nodes, so a name without its like among them is kept, and reported.
    """
    named = {
        answer.node_name
        for query, answer in answers.items()
        if query.pod_uid is not None and answer.kind == "Pod" and answer.node_name
    }
    if not named or configured in named:
        return NodeNames(configured)
    if not configured:
        if len(named) > 1:
            return NodeNames(
                "", f"node.name is empty and the pods seen here run on {len(named)} nodes; no node is left out"
            )
        (only,) = named
        return NodeNames(only, f"node.name is empty: taken as {only!r}, where the pods seen here run")
    alike = sorted(name for name in named if name.lower() == configured.lower()) or sorted(
        name for name in named if first_label(name) == first_label(configured)
    )
    if len(alike) == 1:
        return NodeNames(alike[0], f"node.name is {configured!r}, the API server calls this node {alike[0]!r}")
    return NodeNames(
        configured,
        f"node.name is {configured!r}, but the pods seen here run on {', '.join(sorted(named)[:3])}: "
        "expected the name of `kubectl get nodes`",
    )


def on_node(
    traffic: FlowGroups, answers: Mapping[Query, Answer]
) -> tuple[FlowGroups, Mapping[Query, Answer], NodeNames]:
    """Return flows and answers under the node's name as the directory has it."""
    names = node_name_of(traffic.capture.node_name, answers)
    if names.name == traffic.capture.node_name:
        return traffic, answers, names
    renamed = {
        replace(query, node=names.name or None) if query.pod_uid is not None else query: answer
        for query, answer in answers.items()
    }
    return replace(traffic, capture=replace(traffic.capture, node_name=names.name)), renamed, names
