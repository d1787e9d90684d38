"""The counts of an observation: numbers, short texts and nested groups of them, as every reader expects. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from manager.schema.records import Address, Count, ObjectReference
from podsonar.clean_text import clean_text

MAX_COUNTS = 64  # per level
MAX_NAME = 64  # characters
MAX_TEXT = 256
LARGEST_COUNT = 2**53 - 1
MAX_LISTED = 64
GROUP_LEVELS = 2  # below a group: `accepted.openedBefore.leftOut` has counts by reason

# What the map reads by name has this type everywhere; a member of another type is left out.
GROUPS = ("lost", "filtered", "unresolved", "outcomesLost", "openedBefore", "accepted", "observed")
TEXTS = ("tracer", "identity", "gap", "ownPod")


class ScanSum(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was beyond the share of one pod, at one end and in one range of ports."""

    pod: ObjectReference
    end: Literal["source", "destination"]
    ports: Annotated[str, msgspec.Meta(max_length=11, pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?$")]
    attempts: Count | None = None
    established: Count | None = None
    failed: Count | None = None
    accepted: Count | None = None


class LeftOutSource(msgspec.Struct, frozen=True, rename="camel"):
    """Connections from an address that are in no record because of who made them."""

    address: Address
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    established: Count
    opened_before: bool = False


LISTS: dict[str, type[msgspec.Struct]] = {"scan": ScanSum, "leftOutSources": LeftOutSource}


def clean_observation(value: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The counts that can be stored, and how many members were left out."""
    cleaned: dict[str, Any] = {}
    for key, member in list(value.items())[:MAX_COUNTS]:
        if len(key) > MAX_NAME:
            continue
        if key in LISTS:
            if listed := clean_list(member, LISTS[key]):
                cleaned[key] = listed
            continue
        kept = clean_group(member) if isinstance(member, Mapping) and key not in TEXTS else clean_scalar(member)
        if kept is None and member is not None:
            continue
        wrong = (key in GROUPS and not isinstance(kept, dict | None)) or (
            key in TEXTS and not isinstance(kept, str | None)
        )
        if not wrong:
            cleaned[key] = kept
    return cleaned, len(value) - len(cleaned)


def clean_list(value: object, element: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The elements that have the type, at most 64; others are left out."""
    kept = []
    for one in value[:MAX_LISTED] if isinstance(value, list) else ():
        try:
            kept.append(msgspec.to_builtins(msgspec.convert(one, element)))
        except msgspec.ValidationError:
            continue
    return kept


def clean_group(value: Mapping[str, Any], levels: int = GROUP_LEVELS) -> dict[str, Any]:
    """The members of a group that are counts, short texts, or groups of the same, at most `levels` deep."""
    cleaned: dict[str, Any] = {}
    for key, member in list(value.items())[:MAX_COUNTS]:
        kept: Any = clean_scalar(member)
        if isinstance(member, Mapping) and levels:
            kept = clean_group(member, levels - 1)
        if len(key) <= MAX_NAME and (kept is not None or member is None):
            cleaned[key] = kept
    return cleaned


def clean_scalar(value: object) -> bool | float | str | None:
    """A truth value, a number that JSON readers hold exactly, or a text cut to 256 characters; None for others."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if 0 <= value <= LARGEST_COUNT else None
    return clean_text(value)[:MAX_TEXT] if isinstance(value, str) else None
