"""Addresses from which connections were made that are left out because of who made them.

Where such a connection arrives, its server's record names the address: it may be a pod's, as when a proxy or a process
of the node works in the pod's network. The manager then knows why no client-side record explains it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from node_agent.attribution.filters import is_ownerless
from node_agent.attribution.flow_decisions import HOLDER_UNKNOWN, SHARED_SOCKET, FlowGroupDecision
from node_agent.attribution.pod_lookup import CONFLICT

REASONS = frozenset({CONFLICT, HOLDER_UNKNOWN, SHARED_SOCKET, "own_traffic", "source_not_a_pod", "source_unknown"})
MOST_LISTED = 64  # those with the most connections


def left_out_sources(decisions: Iterable[FlowGroupDecision]) -> list[dict[str, Any]]:
    """Return established connections by source address, reason and age, ordered by address."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    for decision in decisions:
        if decision.reason not in REASONS:
            continue
        for flow in decision.group.flows:
            if flow.established and not is_ownerless(flow.source):
                counts[flow.source, decision.reason, flow.opened_before] += flow.established
    largest = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_LISTED]
    return [
        {"address": address, "reason": reason, "openedBefore": opened, "established": established}
        for (address, reason, opened), established in sorted(largest)
    ]
