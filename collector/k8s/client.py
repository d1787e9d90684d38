"""Reads the Kubernetes API server: one GET after the other, and bodies raw.

Models are not used: a page is bytes that go through orjson once.
"""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
import urllib3

from collector.k8s.access import Access, account_access
from collector.k8s.credentials import Credentials
from collector.k8s.kubeconfig import read_kubeconfig
from collector.k8s.streaming_list import LARGE_BODY_BYTES, LargeAnswerError
from collector.k8s.transport import Transport, described
from collector.k8s.watch_stream import WatchStream
from podsonar.errors import ApiServerError, WatchRefusedError

PAGE_TIMEOUT = urllib3.Timeout(connect=5, read=60)
PAGE_SECONDS = 120.0  # a whole answer: a server that sends a byte now and then holds no list for ever
PIECE_BYTES = 512 << 10  # less than `collector.k8s.malloc` gives back: each piece takes the place of the one before
REFUSAL_BYTES = 4096
Query = dict[str, str | int]
USER_AGENT = f"podsonar/{version('podsonar')} (collector)"
REASON = re.compile(r"[A-Za-z]{1,64}")  # metav1.StatusReason

log = structlog.get_logger()


def shut_down(response: urllib3.BaseHTTPResponse) -> None:
    """End an answer now; its reader gets an error, since the answer is not whole."""
    with suppress(ValueError, RuntimeError, OSError):  # it came to its end meanwhile
        response.shutdown()


class ApiClient:
    """One API server with one identity; every request is counted in `requests`."""

    def __init__(self, load: Callable[[], Access]) -> None:
        self.load = load
        self.access = load()
        self.credentials = Credentials(self.access)
        self.transport: Transport | None = None
        self.transport_lock = threading.Lock()
        self.requests = 0
        self.unauthorized = False
        self.pending: set[Future[urllib3.BaseHTTPResponse]] = set()
        self.open_responses: set[urllib3.BaseHTTPResponse] = set()
        self.ended = False
        self.page_seconds = PAGE_SECONDS

    @classmethod
    def connect(cls, kubeconfig: Path | None) -> "ApiClient":
        """The API server of a kubeconfig, else the one this pod runs in; ApiServerError where neither can be read."""
        return cls(lambda: read_kubeconfig(kubeconfig) if kubeconfig else account_access())

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
        """The connections, made for the first request: a plugin may have to run for its certificate."""
        with self.transport_lock:
            if self.transport is None:
                self.transport = Transport(self.access, self.credentials)
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
        headers = urllib3.HTTPHeaderDict({"Accept": "application/json", "User-Agent": USER_AGENT})
        for name, value in self.credentials.headers():
            headers.add(name, value)
        return headers

    def open(self, path: str, query: Query, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        """The answer to one GET, its body unread; ApiServerError where there is none.

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
        thread = threading.Thread(target=self.send, args=(pending, url, timeout), name="ask", daemon=True)
        thread.start()
        try:
            response = pending.result()
        finally:
            self.pending.discard(pending)
        self.unauthorized = response.status == 401
        return response

    def send(self, pending: Future[urllib3.BaseHTTPResponse], url: str, timeout: urllib3.Timeout) -> None:
        """Make a request; an answer whose caller has given up is closed.

        A failure is an ApiServerError in Podsonar's own words: foreign messages may quote a header or a URL.
        """
        try:
            response: urllib3.BaseHTTPResponse = self.connections().request(
                "GET",
                url,
                headers=self.headers(),
                preload_content=False,
                timeout=timeout,
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

    def page(self, path: str, query: Query) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of one GET; LargeAnswerError beyond what a page may hold."""
        response = self.open(path, query, PAGE_TIMEOUT)
        held, size = [], 0
        for piece in self.pieces(response):
            held.append(piece)
            size += len(piece)
            if size > LARGE_BODY_BYTES:
                response.close()
                raise LargeAnswerError
        return response.status, response.headers.get("Retry-After"), b"".join(held)

    def stream(self, path: str, query: Query) -> tuple[int, str | None, Iterator[bytes]]:
        """Status, Retry-After and the pieces of one GET's body."""
        response = self.open(path, query, PAGE_TIMEOUT)
        return response.status, response.headers.get("Retry-After"), self.pieces(response)

    def watch(self, path: str, query: Query, seconds: int) -> WatchStream:
        """An open watch that the server ends after `seconds`; WatchRefusedError where it does not begin."""
        timeout = urllib3.Timeout(connect=5, read=seconds + 30)
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
