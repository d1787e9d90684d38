"""A batch that the manager finds too large, in two: each its own batch, and together they tell what the record did."""

from typing import Any

from delivery.batch import Batch
from podsonar.json_gzip import pack, unpack

LISTS = ("connectionList", "acceptedList")


def split_batch(batch: Batch) -> tuple[Batch, Batch] | None:
    """Two batches in place of one, with ids of their own that are the same at every try; None where it has no halves.

    An inventory part has none: its parts are numbered. One record has none either.
    """
    suffixed = [f"{batch.id}.{number}" for number in (0, 1)]
    if batch.kind != "connections" or len(suffixed[0]) > 64:
        return None
    body: dict[str, Any] = unpack(batch.payload)
    lists = {name: body.get(name) or [] for name in LISTS}
    if sum(map(len, lists.values())) < 2:
        return None
    # The middle of both lists as record: so a body of record kind of records has halves, too.
    middle = (sum(map(len, lists.values())) + 1) // 2
    first = {LISTS[0]: lists[LISTS[0]][:middle], LISTS[1]: lists[LISTS[1]][: max(0, middle - len(lists[LISTS[0]]))]}
    second = {name: lists[name][len(first[name]) :] for name in LISTS}
    attempts = sum(int(record.get("attempts") or 0) for record in second[LISTS[0]])
    rest = min(attempts, batch.events)
    # Counts are of the whole window and are attempts once; what says how the node was watched is attempts by both.
    bodies = (body | first, body | second | {"observation": without_counts(body.get("observation") or {})})
    events = (batch.events - rest, rest)
    made = [
        Batch(suffixed[number], batch.kind, batch.created_ns, pack(bodies[number]), events[number]) for number in (0, 1)
    ]
    return made[0], made[1]


def without_counts(observation: dict[str, Any]) -> dict[str, Any]:
    """The members that count nothing."""
    return {key: value for key, value in observation.items() if not is_count(value)}


def is_count(value: object) -> bool:
    """Whether a member of an observation is a number, or holds nothing but numbers."""
    if isinstance(value, dict):
        return all(is_count(inner) for inner in value.values())
    return isinstance(value, int | float) and not isinstance(value, bool)
