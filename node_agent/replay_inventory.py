"""Reads an inventory file: bodies of `podsonar collector once`, or the lists that `kubectl get -o json` prints.

Documents may stand one per line or be pretty-printed, one behind the other.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson

from directory.inventory_snapshots import LIST_KINDS
from podsonar.errors import InputError
from podsonar.input_file import read_input

MOST_BYTES = 96 << 20
EXPECTED = "the output of `podsonar collector once --output FILE` or of `kubectl get pods,services,nodes,… -A -o json`"
DOCUMENT = re.compile(rb"^[{\[]", re.MULTILINE)
LISTS = {kind: name for name, kind in LIST_KINDS.items()}
# The sources of owners: a pod's annotations and containers are needed in part, what is large is not.
UNUSED_META = ("managedFields", "labels")
UNUSED_SPEC = ("volumes", "tolerations", "template", "affinity")


class KubectlList(msgspec.Struct):
    """A list as kubectl or the API server writes it; `items` are not parsed yet."""

    kind: str
    items: list[msgspec.Raw]
    metadata: dict[str, Any] | None = None


@dataclass(slots=True)
class InventoryFile:
    """The bodies of a file, and what is left out of it by kind."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_inventory(path: Path) -> InventoryFile:
    """Return the bodies in a file; InputError names the line of what is no inventory."""
    content = read_input(path, "inventory file", MOST_BYTES, EXPECTED)
    if not content.strip():
        raise InputError(f"inventory file {str(path)!r} holds nothing; expected {EXPECTED}")
    result = InventoryFile()
    lists: dict[str, list[Any]] = {}
    for number, document in documents(content):
        try:
            add_document(result, lists, document)
        except (InputError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise InputError(
                f"inventory file {str(path)!r} line {number} {reason_of(error)}; expected {EXPECTED}"
            ) from error
    if lists:
        result.bodies.append(dict(lists))
    return result


def reason_of(error: Exception) -> str:
    """Return what is wrong with a document; a decoder's own words say where."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, orjson.JSONDecodeError | msgspec.MsgspecError | UnicodeDecodeError):
        return f"is not JSON of an inventory ({error})"
    return str(error)


def documents(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each document with the number of its first line: it begins where a line begins with a bracket."""
    starts = [match.start() for match in DOCUMENT.finditer(content)]
    if len(starts) > 1 and is_one_document(content):
        starts = starts[:1]
    if content[: starts[0] if starts else None].strip():
        starts.insert(0, 0)
    line, counted = 1, 0
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        line += content.count(b"\n", counted, start)
        counted = start
        yield line, content[start:end]


def is_one_document(content: bytes) -> bool:
    """Return whether the whole is one JSON value, as one that is printed without indentation."""
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def add_document(result: InventoryFile, lists: dict[str, list[Any]], document: bytes) -> None:
    """Add the bodies or the objects of a document; InputError for one that holds neither."""
    members = msgspec.json.decode(document, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
    if isinstance(members, list):
        raise InputError("is a JSON list")
    if not members or "inventory" in members or members.keys() & LIST_KINDS.keys():
        result.bodies.append(orjson.loads(document))
    elif "items" in members and "kind" in members:
        add_list(result, lists, msgspec.json.decode(document, type=KubectlList))
    elif "kind" in members and "metadata" in members:
        add_item(result, lists, orjson.loads(document), "")
    else:
        raise InputError(f"has the members {', '.join(sorted(members))[:80]!r}, which are no inventory's")


def add_list(result: InventoryFile, lists: dict[str, list[Any]], listed: KubectlList) -> None:
    """Add the objects of a list; one of a single kind (`PodList`) is known to be whole even if it is empty."""
    if (listed.metadata or {}).get("continue"):
        raise InputError(f"is one page of a {listed.kind} (metadata.continue is set), expected the whole list")
    kind = listed.kind.removesuffix("List")
    if kind in LISTS:
        lists.setdefault(LISTS[kind], [])
    for raw in listed.items:
        add_item(result, lists, msgspec.json.decode(raw), kind)


def add_item(result: InventoryFile, lists: dict[str, list[Any]], item: object, default_kind: str) -> None:
    """Add one object, without what no owner of an address is found by."""
    kind = item.get("kind", default_kind) if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(kind, str) or kind not in LISTS:
        result.left_out[kind if isinstance(kind, str) and kind else "object without a kind"] += 1
        return
    for member, unused in (("metadata", UNUSED_META), ("spec", UNUSED_SPEC)):
        if isinstance(inner := item.get(member), dict):
            for name in unused:
                inner.pop(name, None)
    lists.setdefault(LISTS[kind], []).append(item)
