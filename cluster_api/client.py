"""Requests to the Kubernetes API server: one after the other, and bodies raw.

Models are not used: a page is bytes that go through orjson once.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
import structlog
import urllib3

from cluster_api.access import Access, account_access
from cluster_api.credentials import Credentials
from cluster_api.kubeconfig import read_kubeconfig
from cluster_api.large_answer import LARGE_BODY_BYTES, LargeAnswerError
from cluster_api.transport import Transport, described
from cluster_api.watch_stream import WatchStream
from podsonar.errors import ApiServerError, WatchRefusedError

CONNECT_SECONDS = 5.0
PAGE_TIMEOUT = urllib3.Timeout(connect=CONNECT_SECONDS, read=60)
PAGE_SECONDS = 120.0  # a whole answer: a server that sends a byte now and then holds no list for ever
PIECE_BYTES = 512 << 10  # less than `podsonar.malloc` gives back: each piece takes the place of the one before
REFUSAL_BYTES = 4096
IDLE_SECONDS = 60.0  # the API server closes an idle connection after 90 s, a balancer forgets it later
Query = dict[str, str | int]
REASON = re.compile(r"[A-Za-z]{1,64}")  # metav1.StatusReason

log = structlog.get_logger()


def shut_down(response: urllib3.BaseHTTPResponse) -> None:
    """End an answer now; its reader gets an error, since the answer is not whole."""
    with suppress(ValueError, RuntimeError, OSError):  # it came to its end meanwhile
        response.shutdown()


class Change(NamedTuple):
    """What a request does: its method, and the body that it sends, if any."""

    method: str
    body: bytes | None = None
    content_type: str = "application/json"


READ = Change("GET")


class ApiClient:
    """One API server with one identity; every request is counted in `requests`."""

    def __init__(self, load: Callable[[], Access], program: str = "collector") -> None:
        self.load = load
        self.user_agent = f"podsonar/{version('podsonar')} ({program})"
        self.access = load()
        self.credentials = Credentials(self.access)
        self.transport: Transport | None = None
        self.transport_lock = threading.Lock()
        self.requests = 0
        self.asked_at = time.monotonic()
        self.unauthorized = False
        self.pending: set[Future[urllib3.BaseHTTPResponse]] = set()
        self.open_responses: set[urllib3.BaseHTTPResponse] = set()
        self.ended = False
        self.page_seconds = PAGE_SECONDS
        self.first_answer_seconds: float | None = None  # for a caller who waits: a server that has not answered yet
        self.has_answered = False

    @classmethod
    def connect(cls, kubeconfig: Path | None, program: str = "collector") -> "ApiClient":
        """The API server of a kubeconfig, else the one this pod runs in; ApiServerError where neither can be read."""
        return cls(lambda: read_kubeconfig(kubeconfig) if kubeconfig else account_access(), program)

    @property
    def server(self) -> str:
        """The API server's URL, without user or password."""
        return self.access.server

    def renew(self) -> None:
        """Read configuration and credentials again; those at hand stay where that fails."""
        try:
            access = self.load()
        except ApiServerError as error:
            log.warning("credentials_not_read", error=str(error))
            return
        with self.transport_lock:
            former, self.transport = self.transport, None
            if access != self.access:
                self.access, self.credentials = access, Credentials(access)
            if self.ended:
                self.credentials.end()
            self.credentials.renew()
        if former is not None:
            former.close()

    def connections(self) -> urllib3.PoolManager:
        """The connections, made for the first request: a plugin may have to run for its certificate.

        Those that are idle since long are given up: a request that meets their end has no answer.
        """
        with self.transport_lock:
            idle_seconds, self.asked_at = time.monotonic() - self.asked_at, time.monotonic()
            if self.transport is None:
                self.transport = Transport(self.access, self.credentials)
            elif idle_seconds > IDLE_SECONDS:
                self.transport.close()
            return self.transport.pool

    def end(self) -> None:
        """Send nothing more, and end every pending request: its caller gets an ApiServerError."""
        self.ended = True
        self.credentials.end()
        for pending in list(self.pending):
            with suppress(InvalidStateError):  # it was answered meanwhile
                pending.set_exception(self.ended_error())
        for response in list(self.open_responses):
            shut_down(response)

    def headers(self) -> urllib3.HTTPHeaderDict:
        """The current authentication headers, and the user agent."""
        headers = urllib3.HTTPHeaderDict({"Accept": "application/json", "User-Agent": self.user_agent})
        for name, value in self.credentials.headers():
            headers.add(name, value)
        return headers

    def open(
        self, path: str, query: Query, timeout: urllib3.Timeout, change: Change = READ
    ) -> urllib3.BaseHTTPResponse:
        """The answer to one request, its body unread; ApiServerError where there is none.

        After a 401 the credentials are read again for the next request: the kubelet may have rotated them meanwhile.
        """
        if self.ended:
            raise self.ended_error()
        if self.unauthorized:
            self.renew()
        self.requests += 1
        url = f"{self.server}{path}?{urlencode(query)}"
        pending: Future[urllib3.BaseHTTPResponse] = Future()
        self.pending.add(pending)
        if self.ended:  # since it was looked at
            self.end()
        # In a thread of its own: nothing else leaves a server that takes a request and sends no headers.
        thread = threading.Thread(target=self.send, args=(pending, url, timeout, change), name="ask", daemon=True)
        thread.start()
        try:
            response = pending.result()
        finally:
            self.pending.discard(pending)
        self.unauthorized = response.status == 401
        self.has_answered = True
        return response

    def bounded_timeout(self, timeout: urllib3.Timeout) -> urllib3.Timeout:
        """The time limits of a request: at most `first_answer_seconds` until the server has answered something."""
        most = self.first_answer_seconds
        if most is None or self.has_answered:
            return timeout
        return urllib3.Timeout(connect=min(CONNECT_SECONDS, most), read=most)

    def send(
        self, pending: Future[urllib3.BaseHTTPResponse], url: str, timeout: urllib3.Timeout, change: Change
    ) -> None:
        """Make a request; an answer whose caller has given up is closed.

        A failure is an ApiServerError in Podsonar's own words: foreign messages may quote a header or a URL.
        """
        try:
            headers = self.headers()
            if change.body is not None:
                headers.add("Content-Type", change.content_type)
            response: urllib3.BaseHTTPResponse = self.connections().request(
                change.method,
                url,
                body=change.body,
                headers=headers,
                preload_content=False,
                timeout=self.bounded_timeout(timeout),
                retries=False,
                redirect=False,
            )
        except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
            known = isinstance(error, ApiServerError)
            failure = error if known else ApiServerError(f"API server {self.server}: {described(error)}")
            with suppress(InvalidStateError):
                pending.set_exception(failure)
            return
        try:
            pending.set_result(response)
        except InvalidStateError:
            response.close()

    def ended_error(self) -> ApiServerError:
        """The error of every request once the program ends."""
        return ApiServerError(f"API server {self.server} is not asked any more: the program ends")

    def pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The body as it comes; ApiServerError where it is cut or takes longer than a page may."""
        # Whole pieces cost a third less CPU than what each record brings, but wait for the slowest server.
        limit = threading.Timer(self.page_seconds, shut_down, (response,))
        limit.daemon = True
        limit.start()
        self.open_responses.add(response)
        if self.ended:  # since the request was made
            shut_down(response)
        try:
            while piece := response.read(PIECE_BYTES):
                yield piece
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ApiServerError(f"API server {self.server}: answer cut short: {described(error)}") from error
        finally:
            limit.cancel()
            self.open_responses.discard(response)
            if not response.closed:
                response.close()

    def exchange(self, path: str, query: Query, change: Change = READ) -> tuple[int, bytes]:
        """Status and body of one request; LargeAnswerError beyond what a page may hold."""
        response = self.open(path, query, PAGE_TIMEOUT, change)
        held = b"".join(self.bounded(response))
        return response.status, held

    def bounded(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The pieces of a body that is held as a whole."""
        size = 0
        for piece in self.pieces(response):
            size += len(piece)
            if size > LARGE_BODY_BYTES:
                response.close()
                raise LargeAnswerError
            yield piece

    def page(self, path: str, query: Query) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of one GET; LargeAnswerError beyond what a page may hold."""
        response = self.open(path, query, PAGE_TIMEOUT)
        held = b"".join(self.bounded(response))
        return response.status, response.headers.get("Retry-After"), held

    def stream(self, path: str, query: Query) -> tuple[int, str | None, Iterator[bytes]]:
        """Status, Retry-After and the pieces of one GET's body."""
        response = self.open(path, query, PAGE_TIMEOUT)
        return response.status, response.headers.get("Retry-After"), self.pieces(response)

    def watch(self, path: str, query: Query, seconds: int) -> WatchStream:
        """An open watch that the server ends after `seconds`; WatchRefusedError where it does not begin."""
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds + 30)
        response = self.open(path, {**query, "watch": "true", "timeoutSeconds": seconds}, timeout)
        if response.status == 200:
            return WatchStream(response, path)
        reason = status_reason(response.read(REFUSAL_BYTES))
        response.close()
        raise WatchRefusedError(
            f"watch {path} answered {response.status}{reason}, expected 200",
            response.status,
            response.headers.get("Retry-After"),
        )


def status_reason(body: bytes) -> str:
    """` (Forbidden)` of a Kubernetes status; nothing of any other body."""
    try:
        status: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    reason = status.get("reason") if isinstance(status, dict) else None
    return f" ({reason})" if isinstance(reason, str) and REASON.fullmatch(reason) else ""
