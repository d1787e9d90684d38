"""One pushed request body, packed once, with an id that never changes across retries."""

import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from podsonar.batch_sequence import BatchSequence
from podsonar.json_gzip import deflated
from podsonar.model import Window

BATCH_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
Kind = Literal["connections", "inventory"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch: `payload` is gzipped JSON, `id` the Idempotency-Key, `events` the number of connect attempts in it.

    `window` is the id of its window. `sequence` is its place among the sender's batches, which the spool gives it.
    """

    id: str
    kind: Kind
    created_ns: int
    payload: bytes
    events: int = 0
    window: str = ""
    sequence: BatchSequence | None = None


def batch_of_payload(payload: bytes, kind: Kind, window: Window, identity: str, events: int = 0) -> Batch:
    """A batch made now of a gzipped body, named by its window and identity."""
    batch_id = f"{kind[0]}-{window.start_ns // 1_000_000_000}-{identity}"[:64]
    return Batch(batch_id, kind, time.time_ns(), payload, events, window.id)


def make_batch(
    content: Iterable[bytes], kind: Kind, window: Window, identity: str | None = None, events: int = 0
) -> Batch:
    """A batch made now of a body's JSON; an old capture may be replayed, so its window's age is not the batch's.

    `identity` names it where the same body must keep its id; otherwise the id is random.
    """
    return batch_of_payload(deflated(content), kind, window, identity or uuid.uuid4().hex, events)
