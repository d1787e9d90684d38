"""POST /api/v1/collections: token, agent, headers, size, encoding, JSON, schema, store, in this order.

A caller without a good token costs no read of the body. 201 is sent after the commit and not before.
"""

import hashlib
import re
from collections.abc import Callable

import msgspec
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.http.auth import require_agent, require_ingest_token
from manager.http.responses import json_response, unavailable
from manager.ingest.body_limits import PushLimiter, PushLimits, read_body
from manager.metrics import ManagerMetrics
from manager.schema.gunzip import BadBodyError, TooLargeError, inflate
from manager.schema.push_schema import ConnectionsBatch, InventoryPart, decode, read_batch
from manager.store.batches import BodyMismatchError, Receipt, store_batch
from manager.store.database import Store
from manager.store.tokens import Principal
from podsonar.errors import StoreError
from podsonar.model import NS_PER_SECOND, Window

BATCH_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A node may send a full flow table in one body; memory is bounded by the inflated size in any case.
MAX_ITEMS = 100_000
MINUTE_NS = 60 * NS_PER_SECOND
AHEAD_NS, OLD_NS = 10 * MINUTE_NS, 7 * 24 * 60 * MINUTE_NS


class IngestHandler:
    """The handler; the clock is an argument."""

    def __init__(self, store: Store, metrics: ManagerMetrics, clock: Callable[[], int], limits: PushLimits) -> None:
        self.store, self.metrics, self.clock, self.limits = store, metrics, clock, limits
        self.limiter = PushLimiter(limits)

    async def __call__(self, request: Request) -> Response:
        """201 once the batch is on disk."""
        try:
            answer = await self.answer(request)
        except HTTPException as error:
            self.count(error.status_code)
            raise
        self.count(answer.status_code)
        return answer

    def count(self, status: int) -> None:
        """Count one answer; a body that was refused for good is a rejected batch."""
        self.metrics.requests.labels(str(status)).inc()
        if status in (400, 409, 413, 415):
            self.metrics.batches.labels("rejected").inc()

    async def principal(self, request: Request) -> Principal:
        """The agent that asks; refusals are counted by their reason."""
        reason = "no_token"
        try:
            token = require_ingest_token(request)
            reason = "wrong_token"
            return await to_thread.run_sync(require_agent, self.store, token)
        except HTTPException as error:
            self.metrics.auth_failures.labels("agent_gone" if error.status_code == 404 else reason).inc()
            raise
        except StoreError as error:
            raise unavailable(error) from error

    async def answer(self, request: Request) -> Response:
        """The stages in order; every refusal is an HTTPException or a 400 with the place of the error."""
        principal = await self.principal(request)
        async with self.limiter.slot():
            return await self.take(request, principal.agent_id or "")

    async def take(self, request: Request, agent_id: str) -> Response:
        """The batch of an agent that may push."""
        batch_id, gzipped = check_headers(request)
        raw = await read_body(request, self.limits)
        try:
            batch, receipt = await to_thread.run_sync(
                self.store_body, agent_id, batch_id, raw, gzipped, limiter=self.limiter.storing
            )
        except BodyMismatchError as error:
            raise HTTPException(409, "a batch of this id is stored, with another body") from error
        except TooLargeError as error:
            raise HTTPException(413, str(error)) from error
        except BadBodyError as error:
            return json_response({"message": str(error), "description": error.pointer}, 400)
        except StoreError as error:
            raise unavailable(error) from error
        self.metrics.count_batch(batch, receipt)
        return json_response({"batch_id": batch_id, **receipt._asdict()}, 201)

    def store_body(
        self, agent_id: str, batch_id: str, raw: bytes, gzipped: bool
    ) -> tuple[ConnectionsBatch | InventoryPart, Receipt]:
        """Inflate, check and store a body."""
        plain = inflate(raw, self.limits.inflated_bytes) if gzipped else raw
        batch = self.clamp_window(read_batch(decode(plain)))
        if count_items(batch) > MAX_ITEMS:
            # 413 and not 400: the sender then halves the batch, where after a 400 it would set it aside.
            raise TooLargeError(f"body holds more than {MAX_ITEMS} items")
        digest = hashlib.sha256(plain).hexdigest()
        return batch, store_batch(self.store, agent_id, batch_id, batch, self.clock(), digest)

    def clamp_window(self, batch: ConnectionsBatch | InventoryPart) -> ConnectionsBatch | InventoryPart:
        """The batch; a window of the future ends now, since it would be the newest of all until its time comes.

        A window of long ago stays where it belongs. Both are counted.
        """
        now_ns, window = self.clock(), batch.window
        if window.start_ns < now_ns - OLD_NS:
            self.metrics.skewed.labels("past").inc()
        if window.start_ns <= now_ns + AHEAD_NS:
            return batch
        self.metrics.skewed.labels("future").inc()
        end_ns = now_ns - now_ns % MINUTE_NS
        length_ns = min(window.end_ns - window.start_ns, end_ns)
        return msgspec.structs.replace(batch, window=Window(end_ns - length_ns, end_ns))


def count_items(batch: ConnectionsBatch | InventoryPart) -> int:
    """How many records or objects a batch holds."""
    if isinstance(batch, ConnectionsBatch):
        return len(batch.connections) + len(batch.accepted)
    return sum(len(objects) for objects in batch.objects.values())


def check_headers(request: Request) -> tuple[str, bool]:
    """The batch id and whether the body is gzipped; 400 and 415 otherwise."""
    batch_id = request.headers.get("idempotency-key", "")
    if not BATCH_ID.fullmatch(batch_id):
        raise HTTPException(400, "Idempotency-Key: expected 1 to 64 characters of A-Z a-z 0-9 . _ -")
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in {"", "utf-8"}:
        raise HTTPException(415, "Content-Type: expected application/json")
    encoding = request.headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in {"gzip", "identity"}:
        raise HTTPException(415, "Content-Encoding: expected gzip or identity")
    return batch_id, encoding == "gzip"
