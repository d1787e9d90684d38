"""One window's inventory: list, select, redact, and the bodies to push."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from collector.kinds import KINDS, Kind
from collector.listing import Listed, Pages, pages
from collector.redaction import Redaction
from discovery.directory import Directory
from discovery.records import NS_PER_SECOND, Window
from discovery.selection import Selection, controller
from discovery.settings import CollectorSettings

OBJECTS_A_PART = 2000
Told = Callable[[Kind, Listed], None]


def empty_body(settings: CollectorSettings, window: Window) -> dict[str, Any]:
    """A body with every list, all empty."""
    return {
        "namespace": settings.kubernetes.namespace if settings.kubernetes.namespaced else "",
        "observedNamespaces": settings.data.observed_namespaces,
        **{kind.key: [] for kind in KINDS},
        "window": window.wire(),
    }


def kept(kind: Kind, obj: dict[str, Any], selection: Selection, directory: Directory) -> bool:
    """Whether the settings select an object."""
    if kind.name == "Node":
        return True
    meta = obj["metadata"]
    if kind.name == "Namespace":
        return selection.namespace(meta["name"]) is None
    if kind.name != "Pod":
        return selection.namespace(meta["namespace"]) is None
    pod = directory.pods.get(meta["uid"])
    above = controller(obj)
    root = directory.root(pod) if pod else None
    return selection.pod(meta["namespace"], root.kind if root else above["kind"] if above else None) is None


def wanted(settings: CollectorSettings) -> Iterator[tuple[Kind, str | None]]:
    """Each kind that the settings list, and the reason where it is skipped."""
    for kind in KINDS:
        if kind.batch and not settings.data.enable_batch_resources:
            yield kind, "disabled"
        elif settings.kubernetes.namespaced and not kind.namespaced:
            yield kind, "namespaced"
        else:
            yield kind, None


def taken(
    listed_pages: Iterable[list[dict[str, Any]]],
    kind: Kind,
    window: Window,
    selection: Selection,
    directory: Directory,
    redaction: Redaction,
) -> list[dict[str, Any]]:
    """A kind's selected objects, redacted: those of the last snapshot alone, and counted as redacted once."""
    chosen: list[dict[str, Any]] = []
    counts_before = redaction.counts.copy()
    for page in listed_pages:
        if not page:  # the list began again: objects of the old snapshot may be gone, or would come twice
            chosen.clear()
            redaction.counts = counts_before.copy()
        for obj in page:
            directory.observe(kind.name, obj, window.start_ns)
            if kept(kind, obj, selection, directory):
                chosen.append(redaction.mapping(obj))
    return chosen


def bodies(
    source: Pages,
    settings: CollectorSettings,
    window: Window,
    selection: Selection,
    directory: Directory,
    redaction: Redaction,
    told: Told = lambda _kind, _listed: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """The parts of one inventory; each says how many they are and which kinds are complete.

    The directory learns owners on the way, so that a pod's root workload is known when pods are listed (they are last).
    """
    inventory_id = uuid.uuid4().hex
    namespace = settings.kubernetes.namespace if settings.kubernetes.namespaced else None
    kinds: dict[str, dict[str, Any]] = {}
    body, held = empty_body(settings, window), 0
    parts = [body]
    for kind, skipped in wanted(settings):
        if skipped:
            kinds[kind.name] = {"complete": False, "reason": skipped}
            continue
        listed = Listed()
        chosen = taken(pages(source, kind, namespace, listed, sleep), kind, window, selection, directory, redaction)
        for obj in chosen:
            if held == OBJECTS_A_PART:
                body, held = empty_body(settings, window), 0
                parts.append(body)
            body[kind.key].append(obj)
            held += 1
        told(kind, listed)
        kinds[kind.name] = {"complete": listed.reason is None, "count": len(chosen)}
        if listed.reason:
            kinds[kind.name]["reason"] = listed.reason
    head = {
        "id": inventory_id,
        "sequence": window.start_ns // NS_PER_SECOND,
        "parts": len(parts),
        "kinds": kinds,
        "redacted": dict(sorted(redaction.counts.items())),
    }
    for number, one in enumerate(parts, start=1):
        one["inventory"] = {**head, "part": number}
    return parts
