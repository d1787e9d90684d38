"""Splits a batch that the manager rejected as too large (413) into two batches with the same records in total.

Records are cut out of the body's text and never parsed: memory is that of the text.
"""

from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta, Raw

from delivery.batch import Batch
from podsonar.json_gzip import deflated, inflate_within

LISTS = ("connectionList", "acceptedList")
MOST_BYTES = 128 << 20


class Attempts(msgspec.Struct):
    """The fields that are read of a record."""

    attempts: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None


def split_batch(batch: Batch) -> tuple[Batch, Batch] | None:
    """Two batches in place of one, with ids that are the same at every try; None if it cannot be split.

    An inventory part cannot, for its parts are numbered, nor can a single record, nor what is no connections body.
    """
    suffixed = [f"{batch.id}.{number}" for number in (0, 1)]
    if batch.kind != "connections" or len(suffixed[0]) > 64:
        return None
    try:
        body = msgspec.json.decode(inflate_within(batch.payload, MOST_BYTES), type=dict[str, Raw])
        lists = {name: msgspec.json.decode(body.get(name, b"null"), type=list[Raw] | None) or [] for name in LISTS}
        observation = msgspec.json.decode(body.get("observation", b"null"), type=dict[str, Any] | None) or {}
        # The middle of both lists as one: so a body of one kind of records has halves, too.
        middle = (sum(map(len, lists.values())) + 1) // 2
        first = {LISTS[0]: lists[LISTS[0]][:middle], LISTS[1]: lists[LISTS[1]][: max(0, middle - len(lists[LISTS[0]]))]}
        second = {name: lists[name][len(first[name]) :] for name in LISTS}
        attempts = sum(msgspec.json.decode(record, type=Attempts).attempts or 0 for record in second[LISTS[0]])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if sum(map(len, lists.values())) < 2:
        return None
    rest = min(attempts, batch.events)
    # Counts are of the whole window and stay with the first half; both halves state how the node was watched.
    bodies = (body, body | {"observation": Raw(orjson.dumps(without_counts(observation)))})
    events = (batch.events - rest, rest)
    halves = [
        Batch(
            suffixed[number],
            batch.kind,
            batch.created_ns,
            deflated([msgspec.json.encode(bodies[number] | encode_lists(part))]),
            events[number],
            sequence=batch.sequence.half(number) if batch.sequence else None,
        )
        for number, part in enumerate((first, second))
    ]
    return halves[0], halves[1]


def encode_lists(lists: dict[str, list[Raw]]) -> dict[str, Raw]:
    """The text of each list."""
    return {name: Raw(msgspec.json.encode(records)) for name, records in lists.items()}


def without_counts(observation: dict[str, Any]) -> dict[str, Any]:
    """The members that count nothing."""
    return {key: value for key, value in observation.items() if not is_count(value)}


def is_count(value: object) -> bool:
    """Whether a member of an observation is a number, holds nothing but numbers, or lists sums."""
    if isinstance(value, dict):
        return all(is_count(inner) for inner in value.values())
    return isinstance(value, list) or (isinstance(value, int | float) and not isinstance(value, bool))
