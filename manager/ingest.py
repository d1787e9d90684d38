"""POST /api/v1/collections: token, agent, headers, size, encoding, JSON, schema, store, in this order.

A caller without a good token costs no read of the body. 201 is sent after the commit and not before.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from discovery.errors import StoreError
from manager.answers import json_answer, unavailable
from manager.authenticate import ingest_principal, ingest_token
from manager.inflate import BadBodyError, TooLargeError, inflate
from manager.store import Store
from manager.store_batches import Receipt, store_batch
from manager.store_tokens import Principal
from manager.telemetry import Telemetry
from manager.wire import ConnectionsBatch, InventoryPart, decode, read_batch

BATCH_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A node may send a full flow table in one body; memory is bounded by the inflated size in any case.
MAX_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a body may be: as sent, and once inflated."""

    compressed_bytes: int = 8 * 2**20
    inflated_bytes: int = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Ingest:
    """The handler; the clock is an argument."""

    store: Store
    telemetry: Telemetry
    clock: Callable[[], int]
    limits: Limits = Limits()

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
        self.telemetry.requests.labels(str(status)).inc()
        if status in (400, 413, 415):
            self.telemetry.batches.labels("rejected").inc()

    async def principal(self, request: Request) -> Principal:
        """The agent that asks; refusals are counted by their reason."""
        reason = "no_token"
        try:
            token = ingest_token(request)
            reason = "wrong_token"
            return await to_thread.run_sync(ingest_principal, self.store, token)
        except HTTPException as error:
            self.telemetry.auth_failures.labels("agent_gone" if error.status_code == 404 else reason).inc()
            raise
        except StoreError as error:
            raise unavailable(error) from error

    async def answer(self, request: Request) -> Response:
        """The stages in order; every refusal is an HTTPException or a 400 with the place of the error."""
        principal = await self.principal(request)
        batch_id, gzipped = check_headers(request)
        raw = await read_limited(request, self.limits.compressed_bytes)
        agent_id = principal.agent_id or ""
        try:
            batch, receipt = await to_thread.run_sync(self.store_body, agent_id, batch_id, raw, gzipped)
        except TooLargeError as error:
            raise HTTPException(413, str(error)) from error
        except BadBodyError as error:
            return json_answer({"message": str(error), "description": error.pointer}, 400)
        except StoreError as error:
            raise unavailable(error) from error
        self.telemetry.count_batch(batch, receipt)
        return json_answer({"batch_id": batch_id, **receipt._asdict()}, 201)

    def store_body(
        self, agent_id: str, batch_id: str, raw: bytes, gzipped: bool
    ) -> tuple[ConnectionsBatch | InventoryPart, Receipt]:
        """Inflate, check and store a body."""
        plain = inflate(raw, self.limits.inflated_bytes) if gzipped else raw
        batch = read_batch(decode(plain))
        if items_in(batch) > MAX_ITEMS:
            # 413 and not 400: the sender then halves the batch, where after a 400 it would set it aside.
            raise TooLargeError(f"body holds more than {MAX_ITEMS} items")
        return batch, store_batch(self.store, agent_id, batch_id, batch, self.clock())


def items_in(batch: ConnectionsBatch | InventoryPart) -> int:
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
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"gzip", "identity"}:
        raise HTTPException(415, "Content-Encoding: expected gzip or identity")
    return batch_id, encoding == "gzip"


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """The body; 413 as soon as it is known to be larger than the limit, without reading the rest."""
    refusal = HTTPException(413, f"body is larger than {limit_bytes} bytes", headers={"Connection": "close"})
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit_bytes:
        raise refusal
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise refusal
    return bytes(body)
