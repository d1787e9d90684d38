"""`podCgroups` of a connections body: the cgroups in which pods were seen, by pod UID. Pure.

Names of cgroups are a tenant's strings. The member is optional and decides nothing: what of it has another shape is
left out and counted, and the batch around it stays whole.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
import orjson
from isal import igzip_lib
from msgspec import Meta

from manager.schema.records import Count

MOST_BYTES = 1 << 20
MOST_PODS, MOST_PATHS = 1024, 8

Path = Annotated[str, Meta(min_length=1, max_length=512)]
Uid = Annotated[str, Meta(min_length=1, max_length=128)]


class PodCgroups(msgspec.Struct, frozen=True, omit_defaults=True):
    """Paths from the hierarchy's root to the pod's containers, and how many more there were."""

    paths: tuple[Path, ...] = ()
    more: Count = 0


def read_pod_cgroups(raw: msgspec.Raw) -> tuple[dict[str, PodCgroups] | None, int]:
    """The cgroups by pod UID, None where the agent sent none, and how many parts were left out."""
    text = bytes(raw)
    if not text:
        return None, 0
    try:
        found = orjson.loads(text) if len(text) <= MOST_BYTES else None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        return None, 1
    kept, dropped = {}, max(0, len(found) - MOST_PODS)
    for uid, value in list(found.items())[:MOST_PODS]:
        try:
            cgroups, wrong = clean_cgroups(value)
            kept[msgspec.convert(uid, Uid)] = cgroups
            dropped += wrong
        except msgspec.ValidationError:
            dropped += 1
    return kept, dropped


def clean_cgroups(value: Any) -> tuple[PodCgroups, int]:  # noqa: ANN401 - any JSON value
    """One pod's cgroups, and how many of its paths were left out; ValidationError if it has none."""
    wire = msgspec.convert(value, dict[str, Any])
    listed = msgspec.convert(wire.get("paths"), list[Any])
    paths = []
    for one in listed[:MOST_PATHS]:
        try:
            paths.append(msgspec.convert(one, Path))
        except msgspec.ValidationError:
            continue
    more = msgspec.convert(wire.get("more", 0), Count)
    return PodCgroups(tuple(paths), more), len(listed) - len(paths)


def pack_pod_cgroups(cgroups: Mapping[str, PodCgroups] | None) -> bytes | None:
    """What is stored."""
    if cgroups is None:
        return None
    packed: bytes = igzip_lib.compress(msgspec.json.encode(cgroups), 1, igzip_lib.COMP_GZIP)
    return packed


def unpack_pod_cgroups(packed: bytes) -> dict[str, PodCgroups]:
    """What was stored."""
    return msgspec.json.decode(igzip_lib.decompress(packed, igzip_lib.DECOMP_GZIP), type=dict[str, PodCgroups])


def merge_pod_cgroups(parts: Iterable[Mapping[str, PodCgroups]]) -> dict[str, PodCgroups]:
    """The cgroups of several batches of one node: those of a pod once each."""
    merged: dict[str, PodCgroups] = {}
    for part in parts:
        for uid, one in part.items():
            before = merged.get(uid, PodCgroups())
            merged[uid] = PodCgroups(tuple(sorted({*before.paths, *one.paths})), max(before.more, one.more))
    return merged
