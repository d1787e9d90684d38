"""Which objects a delegate has created, from what it reported. Pure.

A delegate reports `absent` before it creates an object, so that one that dies before its next report leaves a record.
What was there before, or was made by somebody else meanwhile, is never owned and never deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Report = dict[str, Any]
Key = tuple[str, str, str, str]
IDENTITY = ("apiVersion", "kind", "namespace", "name")


def key_of(report: Mapping[str, Any]) -> Key:
    """The object that a report is about."""
    api_version, kind, namespace, name = (str(report.get(member, "")) for member in IDENTITY)
    return api_version, kind, namespace, name


def merge_reports(known: Sequence[Report], reported: Sequence[Report]) -> list[Report]:
    """The newest report of each object; `planned` stays once the object was reported absent or created."""
    merged = {key_of(one): one for one in known}
    for one in reported:
        before = merged.get(key_of(one), {})
        planned = bool(before.get("planned")) or one.get("result") in ("absent", "created")
        uid = one.get("uid") or before.get("uid") or ""
        merged[key_of(one)] = {**dict(zip(IDENTITY, key_of(one), strict=True)), **one, "uid": uid, "planned": planned}
    return list(merged.values())


def owned_objects(tasks: Iterable[tuple[str, Sequence[Report]]]) -> list[Report]:
    """The objects that tasks (kind and reports, oldest first) have created and not deleted, each with its uid.

    The uid is empty where the delegate ended between the creation and its next report: the next one finds out whether
    the object is there and was applied by a delegate.
    """
    owned: dict[Key, str] = {}
    for _kind, reports in tasks:
        for one in reports:
            key, result, uid = key_of(one), one.get("result"), str(one.get("uid") or "")
            if result == "deleted":
                owned.pop(key, None)
            elif result == "created":
                owned[key] = uid
            elif one.get("planned") and (result in ("absent", "failed", "refused") or one.get("managed")):
                owned[key] = uid or owned.get(key, "")
            elif one.get("planned"):
                owned.pop(key, None)  # somebody else made it between two attempts
    return [dict(zip(IDENTITY, key, strict=True)) | {"uid": uid} for key, uid in owned.items()]
