"""Sends the oldest batch of a spool to the manager, one at a time, until each is stored; faults.md §1 is the table."""

import email.utils
import math
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import httpx
import structlog
from tenacity import RetryCallState
from tenacity.wait import wait_random_exponential

from discovery.batch import Batch
from discovery.credentials import TokenFile
from discovery.errors import SettingsError, TokenError
from discovery.settings import AgentConfiguration
from discovery.spool import Spool

PATH = "/api/v1/collections"
ANSWER_BYTES = 64 << 10
LONGEST_RETRY_AFTER_SECONDS = 300.0
PROBE_SECONDS = (30.0, 900.0)
IDLE_SECONDS = 1.0
DISK_SECONDS = 5.0

log = structlog.get_logger()


class Verdict(Enum):
    """What becomes of a batch after an answer."""

    STORED = "stored"
    RETRY = "retry"
    HOLD = "hold"
    REJECTED = "rejected"


VERDICTS = {
    201: Verdict.STORED,
    400: Verdict.REJECTED,
    409: Verdict.REJECTED,
    413: Verdict.REJECTED,
    422: Verdict.REJECTED,
    408: Verdict.RETRY,
    425: Verdict.RETRY,
    429: Verdict.RETRY,
    501: Verdict.HOLD,
    505: Verdict.HOLD,
}


def verdict(status: int) -> Verdict:
    """What an answer means: other 5xx are tried again; whatever else is no place to send data to, and is held."""
    return VERDICTS.get(status) or (Verdict.RETRY if status >= 500 else Verdict.HOLD)


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
class Outcome:
    """What one step did: `code` is the status, `error` (no answer) or `idle`; `wait_seconds` until the next step."""

    code: str
    wait_seconds: float
    batch_id: str | None = None


def checked_url(settings: AgentConfiguration) -> str:
    """The manager's ingest URL; SettingsError for one that would leak or cannot work."""
    url = settings.manager.url
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"setting manager.url is {url!r}, expected https://host[:port]")
    if parts.username or parts.password:
        raise SettingsError(
            f"setting manager.url names a user (host {host}), expected none: the token file is for that"
        )
    local = host in ("localhost", "127.0.0.1", "::1") or host.endswith(".svc") or ".svc." in host
    if parts.scheme == "http" and not local and not settings.manager.allow_insecure_http:
        raise SettingsError(
            f"setting manager.url is {url!r}, expected https (or manager.allowInsecureHttp, if it must be)"
        )
    return url.rstrip("/") + PATH


def client_of(settings: AgentConfiguration) -> httpx.Client:
    """An HTTP client that follows no redirect and takes nothing from the environment."""
    context: ssl.SSLContext | bool = not settings.skip_secure_verify
    ca_file, mtls = settings.manager.ca_file, settings.mtls
    try:
        if ca_file:
            context = ssl.create_default_context(cafile=ca_file)
        if mtls.cert_path:
            context = context if isinstance(context, ssl.SSLContext) else ssl.create_default_context()
            context.load_cert_chain(mtls.cert_path, mtls.key_path or None)
    except OSError as error:
        raise SettingsError(
            f"setting manager.caFile is {ca_file!r}, mtls.certPath {mtls.cert_path!r}, mtls.keyPath {mtls.key_path!r}: "
            f"{error.strerror or error}; expected readable PEM files"
        ) from error
    return httpx.Client(
        verify=context,
        follow_redirects=False,
        trust_env=False,
        proxy=settings.proxy.url or settings.proxy.https_proxy or settings.proxy.http_proxy or None,
        timeout=httpx.Timeout(connect=5, write=30, read=30, pool=5),
        headers={"User-Agent": "podsonar"},
    )


class Pusher:
    """Pushes what waits in a spool; `told(outcome)` hears of every step."""

    def __init__(
        self,
        settings: AgentConfiguration,
        spool: Spool,
        token: TokenFile,
        told: Callable[[Outcome], None] = lambda _outcome: None,
    ) -> None:
        self.url = checked_url(settings)
        self.client = client_of(settings)
        self.spool = spool
        self.token = token
        self.told = told
        self.failures = 0
        self.backoff = wait_random_exponential(multiplier=1, max=60)

    def wait_seconds(self, result: Verdict, retry_after: float | None) -> float:
        """How long to wait after a batch that was not stored."""
        self.failures += 1
        if result is Verdict.HOLD:
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
        with self.client.stream("POST", self.url, content=batch.payload, headers=headers) as answer:
            read_bytes = 0
            for chunk in answer.iter_raw(ANSWER_BYTES):
                read_bytes += len(chunk)
                if read_bytes >= ANSWER_BYTES:
                    break
            return answer.status_code, answer.headers.get("Retry-After")

    def step(self) -> Outcome:
        """Send the oldest batch once and act on the answer."""
        self.spool.expire(time.time_ns())
        batch = self.spool.oldest()
        if batch is None:
            return self.tell(Outcome("idle", IDLE_SECONDS))
        try:
            status, retry_after = self.send(batch)
        except (httpx.HTTPError, TokenError, OSError) as error:
            held = isinstance(error, TokenError) or "CERTIFICATE_VERIFY_FAILED" in str(error)
            result = Verdict.HOLD if held else Verdict.RETRY
            log.warning("push_failed", batch=batch.id, error=str(error) or type(error).__name__)
            return self.tell(Outcome("error", self.wait_seconds(result, None), batch.id))
        result = verdict(status)
        if result is Verdict.STORED:
            self.spool.delete(batch.id)
        elif result is Verdict.REJECTED:
            self.spool.quarantine(batch.id)
            log.error("push_rejected", batch=batch.id, status=status)
        else:
            log.warning("push_refused", batch=batch.id, status=status)
            wait = self.wait_seconds(result, retry_after_seconds(retry_after, time.time()))
            return self.tell(Outcome(str(status), wait, batch.id))
        self.failures = 0
        return self.tell(Outcome(str(status), 0.0, batch.id))

    def tell(self, outcome: Outcome) -> Outcome:
        """Pass an outcome on to whoever counts them."""
        self.told(outcome)
        return outcome

    def run(self, stop: threading.Event) -> None:
        """Push until `stop`."""
        while not stop.is_set():
            try:
                wait_seconds = self.step().wait_seconds
            except OSError as error:
                log.warning("spool_unusable", error=error.strerror)
                wait_seconds = DISK_SECONDS
            stop.wait(wait_seconds)

    def close(self) -> None:
        """Let go of the connection to the manager."""
        self.client.close()

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
