"""Sends the oldest batch of a spool to the manager, one at a time, until each is stored.

Answers and what each leads to: docs/operations.md.
"""

import email.utils
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import httpx
import structlog
from tenacity import RetryCallState
from tenacity.wait import wait_random_exponential

from delivery.batch import Batch
from delivery.manager_client import ManagerClient, failure_reason
from delivery.split_batch import split_batch
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.errors import SpoolError, TokenError, TokenInvalidError
from podsonar.settings import AgentConfiguration

ANSWER_BYTES = 64 << 10
LONGEST_RETRY_AFTER_SECONDS = 300.0
PROBE_SECONDS = (30.0, 900.0)
DISK_SECONDS = 5.0
TOKEN_SECONDS = 5.0
NOT_SENT = ("idle", "token")
HELD_TLS = ("tls_untrusted", "tls_expired", "tls_not_yet_valid", "tls_hostname")

log = structlog.get_logger()


class ResponseAction(Enum):
    """What becomes of a batch after an answer."""

    STORED = "stored"
    RETRY = "retry"
    HOLD = "hold"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"


ACTIONS = {
    201: ResponseAction.STORED,
    400: ResponseAction.REJECTED,
    409: ResponseAction.REJECTED,
    413: ResponseAction.TOO_LARGE,
    422: ResponseAction.REJECTED,
    408: ResponseAction.RETRY,
    425: ResponseAction.RETRY,
    429: ResponseAction.RETRY,
    501: ResponseAction.HOLD,
    505: ResponseAction.HOLD,
}


def action_for(status: int) -> ResponseAction:
    """What an answer means: other 5xx are tried again; whatever else is no place to send data to, and is held."""
    return ACTIONS.get(status) or (ResponseAction.RETRY if status >= 500 else ResponseAction.HOLD)


def retry_after_seconds(value: str | None, now_seconds: float) -> float | None:
    """The wait that a Retry-After header asks for, at most 300 s; None where it is absent, past or no time."""
    if not value:
        return None
    try:
        seconds = float(int(value))
    except OverflowError:
        return None
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now_seconds
        except (ValueError, OverflowError):
            return None
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS)


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What one step did, and how long until the next.

    `code` is the status; `error` where there was no answer, `token` where nothing was sent for lack of a token (each
    with its `reason`); or `idle`.
    """

    code: str
    wait_seconds: float
    batch: Batch | None = None
    reason: str | None = None
    seconds: float = 0.0
    again: bool = False

    @property
    def sent(self) -> bool:
        """Whether a request was made."""
        return self.code not in NOT_SENT


class Pusher:
    """Pushes what waits in a spool; `on_outcome(outcome)` hears of every step."""

    def __init__(
        self,
        settings: AgentConfiguration,
        spool: Spool,
        token: TokenFile,
        on_outcome: Callable[[PushOutcome], None] = lambda _outcome: None,
    ) -> None:
        self.manager = ManagerClient(settings)
        self.spool = spool
        self.token = token
        self.on_outcome = on_outcome
        self.failures = 0
        self.tried: str | None = None
        self.unready: str | None = None
        self.backoff = wait_random_exponential(multiplier=1, max=60)

    def wait_seconds(self, result: ResponseAction, retry_after: float | None) -> float:
        """How long to wait after a batch that was not stored."""
        self.failures += 1
        if result is ResponseAction.HOLD:
            first, longest = PROBE_SECONDS
            return float(min(longest, first * 2 ** min(self.failures - 1, 10)))
        if retry_after is not None:
            return retry_after
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = self.failures
        return float(self.backoff(state))

    def send(self, batch: Batch) -> tuple[int, str | None]:
        """The status and Retry-After of one request; the answer's body is read no further than 64 KiB."""
        headers = {
            "Authorization": f"Token {self.token.read()}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Idempotency-Key": batch.id,
        }
        with self.manager.current().stream("POST", self.manager.url, content=batch.payload, headers=headers) as answer:
            read_bytes = 0
            for chunk in answer.iter_raw(ANSWER_BYTES):
                read_bytes += len(chunk)
                if read_bytes >= ANSWER_BYTES:
                    break
            return answer.status_code, answer.headers.get("Retry-After")

    def step(self) -> PushOutcome:
        """Send the oldest batch once and act on the answer."""
        self.spool.expire(time.time_ns())
        batch = self.spool.oldest()
        if batch is None:
            return self.notify(PushOutcome("idle", 0.0))
        began = time.monotonic()
        again, self.tried = self.tried == batch.id, batch.id
        try:
            status, retry_after = self.send(batch)
        except TokenError as error:
            self.tried = None
            self.unready = "token_invalid" if isinstance(error, TokenInvalidError) else "token_absent"
            log.warning("push_held", reason=self.unready, error=str(error))
            return self.notify(PushOutcome("token", TOKEN_SECONDS, batch, self.unready))
        except (httpx.HTTPError, OSError) as error:
            reason = failure_reason(error)
            wait = self.wait_seconds(ResponseAction.HOLD if reason in HELD_TLS else ResponseAction.RETRY, None)
            log.warning("push_failed", batch=batch.id, reason=reason, error=str(error) or type(error).__name__)
            return self.notify(PushOutcome("error", wait, batch, reason, time.monotonic() - began, again))
        self.unready = None
        wait = self.handle_status(batch, status, retry_after)
        return self.notify(PushOutcome(str(status), wait, batch, None, time.monotonic() - began, again))

    def handle_status(self, batch: Batch, status: int, retry_after: str | None) -> float:
        """Act on an answer; how long to wait after it."""
        result = action_for(status)
        if result is ResponseAction.STORED:
            self.spool.delete(batch.id)
        elif result is ResponseAction.TOO_LARGE and (two := split_batch(batch)):
            try:
                for half in two:  # a crash between these leaves one that is sent twice under one id
                    self.spool.put(half)
            except SpoolError as error:
                log.warning("push_not_halved", batch=batch.id, error=str(error))
                return self.wait_seconds(ResponseAction.RETRY, None)
            self.spool.delete(batch.id)
            log.warning("push_halved", batch=batch.id)
        elif result in (ResponseAction.REJECTED, ResponseAction.TOO_LARGE):
            self.spool.quarantine(batch.id)
            log.error("push_rejected", batch=batch.id, status=status)
        else:
            log.warning("push_refused", batch=batch.id, status=status)
            return self.wait_seconds(result, retry_after_seconds(retry_after, time.time()))
        self.failures = 0
        return 0.0

    def notify(self, outcome: PushOutcome) -> PushOutcome:
        """Pass an outcome on to whoever counts them."""
        self.on_outcome(outcome)
        return outcome

    def run(self, stop: threading.Event) -> None:
        """Push until `stop` is set and the spool gets a `wakeup`; idle while nothing waits."""
        while not stop.is_set():
            self.spool.wakeup.clear()
            try:
                outcome = self.step()
            except OSError as error:
                log.warning("spool_unusable", error=error.strerror)
                outcome = self.notify(PushOutcome("idle", DISK_SECONDS, reason="spool_unusable"))
            if outcome.code != "idle" or outcome.reason:
                self.pause(outcome.wait_seconds, stop)
            elif not stop.is_set():
                self.spool.wakeup.wait()

    def pause(self, seconds: float, stop: threading.Event) -> None:
        """Wait, but no longer than until `stop` or another token: a refused agent goes on as soon as it has one."""
        deadline = time.monotonic() + seconds
        while not stop.is_set() and (left_seconds := deadline - time.monotonic()) > 0:
            stop.wait(min(left_seconds, TOKEN_SECONDS))
            if self.token.has_changed():
                return

    def close(self) -> None:
        """Let go of the connection to the manager."""
        self.manager.close()

    def flush(self, seconds: float) -> bool:
        """Whether everything was stored within the time; what was not stays in the spool."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            outcome = self.step()
            if outcome.code == "idle":
                return True
            if outcome.wait_seconds:
                time.sleep(min(outcome.wait_seconds, max(0.0, deadline - time.monotonic())))
        return False
