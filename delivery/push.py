"""Sends the oldest batch of a spool to the manager, one at a time, until each is stored.

`delivery.push_response` is the table of what a status means; docs/operations.md explains it to operators.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from delivery.batch import Batch
from delivery.manager_client import ATTEMPT_SECONDS, EXCHANGE_ERRORS, ManagerClient, ManagerResponse, failure_reason
from delivery.push_response import PushPace, ResponseAction, action_for, retry_after_seconds
from delivery.split_batch import split_batch
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.batch_sequence import HEADER
from podsonar.errors import SpoolError, TokenError, TokenInvalidError, words_of
from podsonar.settings import AgentConfiguration
from podsonar.supervised import run_supervised

DISK_SECONDS = 5.0
TOKEN_SECONDS = 5.0
EXPIRE_SECONDS = 10.0
PEER_SECONDS = 30.0  # while held: how often the peer is asked whether it is another one by now
LATE_SECONDS = 30.0  # beyond the time that a step and its wait may take: then the loop does not progress
MOST_TRIES = 30
NOT_SENT = ("idle", "token")
HELD_TLS = ("tls_untrusted", "tls_expired", "tls_not_yet_valid", "tls_hostname")
REFUSED_TOKEN = ("401", "403")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What one step did, and how long until the next.

    `code` is the status; `error` if there was no response, `token` if nothing was sent for lack of a token (each with
    its `reason`); or `idle`. `held` if only another peer or setting can change the response.
    """

    code: str
    wait_seconds: float
    batch: Batch | None = None
    reason: str | None = None
    seconds: float = 0.0
    again: bool = False
    held: bool = False

    @property
    def sent(self) -> bool:
        """Whether a request was made."""
        return self.code not in NOT_SENT


class Pusher:
    """Pushes what waits in a spool; `on_outcome(outcome)` gets every step."""

    def __init__(
        self,
        settings: AgentConfiguration,
        spool: Spool,
        token: TokenFile,
        on_outcome: Callable[[PushOutcome], None] = lambda _outcome: None,
        on_failure: Callable[[str], object] = lambda _loop: None,
    ) -> None:
        self.manager = ManagerClient(settings)
        self.spool = spool
        self.token = token
        self.on_outcome = on_outcome
        self.on_failure = on_failure
        self.pace = PushPace()
        self.tries: dict[str, int] = {}  # by batch id, of those that failed
        self.tried: str | None = None
        self.token_reason: str | None = None
        self.expire_at = 0.0
        self.due_at: float | None = None  # the monotonic time by which the loop is back; None while nothing waits

    @property
    def unready(self) -> str | None:
        """Why nothing is delivered that an operator must know of; None while the loop progresses."""
        if self.due_at is not None and time.monotonic() > self.due_at:
            return "push_stalled"
        return self.token_reason

    def send(self, batch: Batch, seconds: float) -> ManagerResponse:
        """The response to one push."""
        headers = {
            "Authorization": f"Token {self.token.read()}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Idempotency-Key": batch.id,
        }
        if batch.sequence is not None:
            headers[HEADER] = batch.sequence.text()
        return self.manager.post(batch.payload, headers, seconds)

    def next_batch(self) -> Batch | None:
        """The oldest batch, after those that are too old were dropped."""
        if time.monotonic() >= self.expire_at:
            self.spool.expire(time.time_ns())
            self.expire_at = time.monotonic() + EXPIRE_SECONDS
        return self.spool.oldest()

    def step(self, seconds: float = ATTEMPT_SECONDS) -> PushOutcome:
        """Send the oldest batch once, within the given time, and act on the response."""
        batch = self.next_batch()
        if batch is None:
            self.tries.clear()
            return self.notify(PushOutcome("idle", 0.0))
        began = time.monotonic()
        again, self.tried = self.tried == batch.id, batch.id
        self.spool.in_flight = batch.id
        self.tries[batch.id] = self.tries.get(batch.id, 0) + 1
        try:
            response = self.send(batch, seconds)
        except TokenError as error:
            self.tried = None
            del self.tries[batch.id]
            self.token_reason = "token_invalid" if isinstance(error, TokenInvalidError) else "token_absent"
            log.warning("push_held", reason=self.token_reason, error=str(error))
            return self.notify(PushOutcome("token", TOKEN_SECONDS, batch, self.token_reason))
        except EXCHANGE_ERRORS as error:
            reason = failure_reason(error)
            held = reason in HELD_TLS
            wait = self.wait_after(batch, ResponseAction.HOLD if held else ResponseAction.RETRY)
            log.warning("push_failed", batch=batch.id, reason=reason, error=words_of(error))
            return self.notify(PushOutcome("error", wait, batch, reason, time.monotonic() - began, again, held))
        else:
            self.token_reason = None
            wait = self.handle_status(batch, response.status, response.retry_after)
            held = action_for(response.status) is ResponseAction.HOLD
            spent = time.monotonic() - began
            return self.notify(PushOutcome(str(response.status), wait, batch, None, spent, again, held))
        finally:
            self.spool.in_flight = None

    def handle_status(self, batch: Batch, status: int, retry_after: str | None) -> float:
        """Act on a response; return how long to wait after it."""
        action = action_for(status)
        if action is ResponseAction.STORED:
            self.spool.delete(batch.id)
        elif action is ResponseAction.TOO_LARGE and (halves := split_batch(batch)):
            try:
                for half in halves:  # a crash between these leaves one that is sent twice under one id
                    self.spool.put(half)
            except SpoolError as error:
                log.warning("push_not_halved", batch=batch.id, error=str(error))
                return self.wait_after(batch, ResponseAction.RETRY)
            self.spool.delete(batch.id)
            log.warning("push_halved", batch=batch.id)
        elif action in (ResponseAction.REJECTED, ResponseAction.TOO_LARGE):
            self.spool.quarantine(batch.id)
            log.error("push_rejected", batch=batch.id, status=status)
        else:
            log.warning("push_refused", batch=batch.id, status=status)
            return self.wait_after(batch, action, retry_after_seconds(retry_after, time.time()))
        self.tries.pop(batch.id, None)
        self.pace.stored()
        return 0.0

    def wait_after(self, batch: Batch, action: ResponseAction, retry_after: float | None = None) -> float:
        """How long to wait after a batch that stays; one that failed thirty times steps behind the others."""
        if action is ResponseAction.HOLD:
            self.tries.pop(batch.id, None)  # not this batch is refused, but all
        elif self.tries.get(batch.id, 0) >= MOST_TRIES and self.spool.stats().batches > 1:
            self.spool.postpone(batch.id)
            log.warning("push_postponed", batch=batch.id, tries=self.tries[batch.id])
        return self.pace.next_seconds(action, retry_after)

    def notify(self, outcome: PushOutcome) -> PushOutcome:
        """Pass an outcome on to the counters."""
        self.on_outcome(outcome)
        return outcome

    def run(self, stop: threading.Event) -> None:
        """Push until `stop` is set and the spool gets a `wakeup`; idle while nothing waits."""
        run_supervised("push", lambda: self.turn(stop), stop, self.fail)
        self.due_at = None

    def fail(self, loop: str) -> None:
        """Count an error that no step foresaw; the batch that caused it steps behind the others in the end."""
        self.on_failure(loop)
        self.spool.in_flight = None
        if self.tried is not None and self.tries.get(self.tried, 0) >= MOST_TRIES:
            self.spool.postpone(self.tried)

    def turn(self, stop: threading.Event) -> None:
        """One step and the wait after it."""
        self.spool.wakeup.clear()
        self.due_at = time.monotonic() + ATTEMPT_SECONDS + LATE_SECONDS
        try:
            outcome = self.step()
        except OSError as error:
            log.warning("spool_unusable", error=error.strerror)
            outcome = self.notify(PushOutcome("idle", DISK_SECONDS, reason="spool_unusable"))
        if outcome.code != "idle" or outcome.reason:
            self.due_at = time.monotonic() + outcome.wait_seconds + LATE_SECONDS
            self.pause(outcome, stop)
        elif not stop.is_set():
            self.due_at = None
            self.spool.wakeup.wait()

    def pause(self, outcome: PushOutcome, stop: threading.Event) -> None:
        """Wait, but no longer than until `stop`, another token, or another peer in place of one that holds the queue.

        A request without a token tells whether the peer is another one: a proxy's own page gave way to the manager, or
        a certificate was renewed. A manager that refuses the token is not asked.
        """
        began = time.monotonic()
        deadline, next_probe = began + outcome.wait_seconds, began + PEER_SECONDS
        asks_peer = outcome.held and outcome.wait_seconds > PEER_SECONDS and outcome.code not in REFUSED_TOKEN
        first = self.manager.head() if asks_peer else None
        while not stop.is_set() and (left_seconds := deadline - time.monotonic()) > 0:
            stop.wait(min(left_seconds, TOKEN_SECONDS))
            if self.token.has_changed():
                return
            if asks_peer and time.monotonic() >= next_probe:
                next_probe = time.monotonic() + PEER_SECONDS
                found = self.manager.head()
                if found != first:
                    log.info("push_peer_changed", status=found[0], reason=found[1])
                    return

    def close(self) -> None:
        """Close the connection to the manager."""
        self.manager.close()

    def flush(self, seconds: float) -> bool:
        """Whether everything was stored within the time; what was not stays in the spool."""
        deadline = time.monotonic() + seconds
        while (left_seconds := deadline - time.monotonic()) > 0:
            outcome = self.step(left_seconds)
            if outcome.code == "idle":
                return True
            if outcome.wait_seconds:
                time.sleep(min(outcome.wait_seconds, max(0.0, deadline - time.monotonic())))
        return False
