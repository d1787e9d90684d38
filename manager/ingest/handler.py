"""POST /api/v1/collections: token, agent, headers, size, encoding, JSON, schema, store, in this order.

A caller without a good token costs no read of the body. 201 is sent after the commit and not before.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.http.auth import require_agent, require_ingest_token
from manager.http.body_limits import PushLimiter, PushLimits, Slot, read_body
from manager.http.failed_auth import FailedAuth
from manager.http.responses import json_response, unavailable
from manager.ingest.quotas import AgentQuotas
from manager.metrics import ManagerMetrics
from manager.schema.gunzip import BadBodyError, TooLargeError, inflate
from manager.schema.push_schema import ConnectionsBatch, InventoryPart, read_batch
from manager.store.batches.writes import BodyMismatchError, Receipt, store_batch
from manager.store.database import Store
from manager.store.tokens.issued import Principal
from manager.store.tokens.token_format import parse
from manager.worker_threads import run_in_thread
from podsonar.batch_sequence import HEADER, BatchSequence, parse_sequence
from podsonar.errors import StoreError
from podsonar.model import Window
from podsonar.settings import QuotaSettings
from podsonar.timestamp import NS_PER_SECOND

log = structlog.get_logger()

BATCH_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MINUTE_NS = 60 * NS_PER_SECOND
AHEAD_NS, OLD_NS = 10 * MINUTE_NS, 7 * 24 * 60 * MINUTE_NS


class IngestHandler:
    """The handler; the clock is an argument."""

    def __init__(
        self,
        store: Store,
        metrics: ManagerMetrics,
        clock: Callable[[], int],
        limits: PushLimits,
        quota: QuotaSettings,
    ) -> None:
        self.database, self.metrics, self.clock, self.limits = store, metrics, clock, limits
        self.limiter = PushLimiter(limits)
        self.failed_auth = FailedAuth(clock)
        self.quotas = AgentQuotas(quota, clock, lambda name: self.metrics.quota_refusals.labels(name).inc())

    async def __call__(self, request: Request) -> Response:
        """201 once the batch is on disk; a refusal is counted, and logged with its reason."""
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
        """The agent that pushes; refusals are counted and logged by their reason, many of one address are 429."""
        reason, text, address = "no_token", "", request.client.host if request.client else ""
        try:
            text = require_ingest_token(request)
            reason = "wrong_token"
            self.failed_auth.check(address, text)
            principal = await run_in_thread(require_agent, self.database, text, self.clock())
        except HTTPException as error:
            reason = {404: "agent_gone", 429: "too_many"}.get(error.status_code, reason)
            self.metrics.auth_failures.labels(reason).inc()
            if self.failed_auth.failed(address, text):
                known = parse(text)
                log.warning("push_refused", reason=reason, address=address, token=known.id if known else "")
            raise
        except StoreError as error:
            raise unavailable(error) from error
        self.failed_auth.succeeded(text)
        return principal

    async def answer(self, request: Request) -> Response:
        """The stages in order; every refusal is an HTTPException or a 400 with the place of the error."""
        principal = await self.principal(request)
        agent_id = principal.agent_id or ""
        try:
            async with self.limiter.slot(agent_id) as slot:
                return await self.take(request, agent_id, slot)
        except BadBodyError as error:
            self.log_refusal(request, principal, 400, str(error), error.pointer)
            if not error.pointer:
                raise HTTPException(400, str(error)) from error
            return json_response({"message": str(error), "description": error.pointer}, 400)
        except HTTPException as error:
            self.log_refusal(request, principal, error.status_code, error.detail)
            raise

    def log_refusal(self, request: Request, principal: Principal, status: int, reason: str, place: str = "") -> None:
        """Log why a push is refused; the database's failures have a log line of their own."""
        if status == 503:
            return
        log.warning(
            "push_refused",
            status=status,
            reason=reason,
            place=place,
            agent=principal.agent_id or "",
            token=principal.token_id,
            batch=request.headers.get("idempotency-key", "")[:64],
        )

    async def take(self, request: Request, agent_id: str, slot: Slot) -> Response:
        """The batch of an agent that may push."""
        batch_id, gzipped = check_headers(request)
        given = request.headers.get(HEADER)
        place = parse_sequence(given) if given is not None else None
        self.quotas.take_batch(agent_id)
        raw = await read_body(request, self.limits, slot, lambda size: self.quotas.take_bytes(agent_id, size))
        try:
            batch, receipt = await self.store(agent_id, batch_id, raw, place, gzipped=gzipped)
        except BodyMismatchError as error:
            raise HTTPException(409, "a batch of this id is stored, with another body") from error
        except TooLargeError as error:
            raise HTTPException(413, str(error)) from error
        except StoreError as error:
            raise unavailable(error) from error
        invalid = given is not None and place is None
        self.metrics.count_batch(batch, receipt._replace(sequence="invalid") if invalid else receipt)
        answer = {"stored": receipt.stored, "duplicate": receipt.duplicate, "stale": receipt.stale}
        return json_response({"batch_id": batch_id, **answer}, 201)

    async def store(
        self, agent_id: str, batch_id: str, raw: bytes | bytearray, place: BatchSequence | None, *, gzipped: bool
    ) -> tuple[ConnectionsBatch | InventoryPart, Receipt]:
        """Decode a body and store it; the agent's next body is decoded while this one's commit waits for the disk."""
        threads = self.limiter.threads
        async with AsyncExitStack() as decoding:
            await decoding.enter_async_context(self.limiter.decode_turn(agent_id))
            batch, digest = await run_in_thread(self.decode, raw, gzipped, limiter=threads)
            async with self.limiter.store_turn(agent_id):
                if isinstance(
                    batch, ConnectionsBatch
                ):  # packed blocks; an inventory's objects take memory until stored
                    await decoding.aclose()
                arguments = (self.database, agent_id, batch_id, batch, self.clock(), digest, place)
                return batch, await run_in_thread(store_batch, *arguments, limiter=threads)

    def decode(self, raw: bytes | bytearray, gzipped: bool) -> tuple[ConnectionsBatch | InventoryPart, str]:
        """The checked batch in a body, and the digest of its JSON."""
        plain = inflate(raw, self.limits.inflated_bytes) if gzipped else raw
        return self.clamp_window(read_batch(plain)), hashlib.sha256(plain).hexdigest()

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


def check_headers(request: Request) -> tuple[str, bool]:
    """The batch id and whether the body is gzipped; 400 and 415 otherwise."""
    batch_id = request.headers.get("idempotency-key", "")
    if not BATCH_ID.fullmatch(batch_id):
        raise HTTPException(400, "Idempotency-Key: expected 1 to 64 characters of A-Z a-z 0-9 . _ -")
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in {"", "utf-8"}:
        raise HTTPException(415, "Content-Type: expected application/json")
    encodings = request.headers.getlist("content-encoding")
    encoding = ",".join(encodings).strip().lower() or "identity"
    if encoding not in {"gzip", "identity"}:
        raise HTTPException(415, "Content-Encoding: expected gzip or identity")
    return batch_id, encoding == "gzip"
