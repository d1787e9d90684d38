"""What a pod's status shows: its addresses, and whether it still has them."""

from collections.abc import Mapping
from typing import Any

from directory.addresses import address_keys
from directory.object_fields import mapping_at, mappings_at, text_at

ENDED_PHASES = ("Succeeded", "Failed")


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has given its addresses back (or is about to), though it still shows them."""
    return text_at(mapping_at(pod, "status"), "phase") in ENDED_PHASES


def own_addresses(pod: Mapping[str, Any]) -> frozenset[int]:
    """Return the addresses that the pod shows as its own: none if it shares them with its node."""
    status = mapping_at(pod, "status")
    if mapping_at(pod, "spec").get("hostNetwork"):
        return frozenset()
    shown = {text_at(entry, "ip") for entry in mappings_at(status, "podIPs")} | {text_at(status, "podIP")}
    hosts = {text_at(entry, "ip") for entry in mappings_at(status, "hostIPs")} | {text_at(status, "hostIP")}
    return address_keys(shown) - address_keys(hosts)
