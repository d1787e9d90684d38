"""Reads the Kubernetes API server: configuration, authentication and transport by the `kubernetes` client, bodies raw.

The only module that imports `kubernetes`. Models are not used: a page is bytes that go through orjson once.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlencode

import kubernetes.client
import kubernetes.config
import structlog
import urllib3

from collector.k8s.streaming_list import LARGE_BODY_BYTES, LargeAnswerError
from collector.k8s.watch_stream import WatchStream
from podsonar.errors import ApiServerError, WatchRefusedError

PAGE_TIMEOUT = urllib3.Timeout(connect=5, read=60)
PAGE_SECONDS = 120.0  # a whole answer: a server that sends a byte now and then holds no list for ever
PIECE_BYTES = 512 << 10  # less than `collector.k8s.malloc` gives back: each piece takes the place of the one before
REFUSAL_BYTES = 4096
Query = dict[str, str | int]
USER_AGENT = f"podsonar/{version('podsonar')} (collector)"

log = structlog.get_logger()


def configuration_of(kubeconfig: Path | None) -> kubernetes.client.Configuration:
    """How to reach the API server of a kubeconfig, else that of this pod; ApiServerError where neither can be read."""
    # Never through a proxy of the environment: it is for pushes, and would see the token.
    configuration = kubernetes.client.Configuration(proxy="", no_proxy="*")
    try:
        if kubeconfig is None:
            kubernetes.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            kubernetes.config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    except Exception as error:  # the client raises its own, YAML's and the operating system's errors alike
        source = f"kubeconfig {str(kubeconfig)!r}" if kubeconfig else "the service account of this pod"
        text = " ".join(str(error).split())[:200]
        raise ApiServerError(f"{source}: {text}; expected a readable kubeconfig or a pod's service account") from error
    if configuration.proxy:  # the kubeconfig's own `proxy-url`
        configuration.no_proxy = ""
    return configuration


def shut_down(response: urllib3.BaseHTTPResponse) -> None:
    """End an answer now; its reader gets an error, since the answer is not whole."""
    with suppress(ValueError, RuntimeError, OSError):  # it came to its end meanwhile
        response.shutdown()


class ApiClient:
    """One API server with one identity; every request is counted in `requests`."""

    def __init__(self, load: Callable[[], kubernetes.client.Configuration]) -> None:
        self.load = load
        self.configuration = load()
        self.client = kubernetes.client.ApiClient(self.configuration)
        self.requests = 0
        self.unauthorized = False
        self.pending: set[Future[urllib3.BaseHTTPResponse]] = set()
        self.open_responses: set[urllib3.BaseHTTPResponse] = set()
        self.ended = False
        self.page_seconds = PAGE_SECONDS

    @classmethod
    def connect(cls, kubeconfig: Path | None) -> "ApiClient":
        """The API server of a kubeconfig, else the one this pod runs in; ApiServerError where neither can be read."""

        def load() -> kubernetes.client.Configuration:
            return configuration_of(kubeconfig)

        return cls(load)

    def renew(self) -> None:
        """Read configuration and credentials again; those at hand stay where that fails."""
        try:
            configuration = self.load()
        except ApiServerError as error:
            log.warning("credentials_not_read", error=str(error))
            return
        former, self.configuration = self.client, configuration
        self.client = kubernetes.client.ApiClient(configuration)
        former.rest_client.pool_manager.clear()

    def end(self) -> None:
        """Ask nothing more, and have what is waited for or read end now: ApiServerError in whoever does so."""
        self.ended = True
        for pending in list(self.pending):
            with suppress(InvalidStateError):  # it was answered meanwhile
                pending.set_exception(self.ended_error())
        for response in list(self.open_responses):
            shut_down(response)

    def headers(self) -> dict[str, str]:
        """Authentication as it stands now (a rotated token is read again by the client) and our name."""
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        settings: dict[str, dict[str, str]] = dict(self.configuration.auth_settings())  # type: ignore[arg-type]
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
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
        url, headers = f"{self.configuration.host}{path}?{urlencode(query)}", self.headers()
        pending: Future[urllib3.BaseHTTPResponse] = Future()
        self.pending.add(pending)
        if self.ended:  # since it was looked at
            self.end()
        # In a thread of its own: nothing else leaves a server that takes a request and sends no headers.
        thread = threading.Thread(target=self.send, args=(pending, url, headers, timeout), name="ask", daemon=True)
        thread.start()
        try:
            response = pending.result()
        except urllib3.exceptions.HTTPError as error:
            raise ApiServerError(f"API server {self.configuration.host}: {error}") from error
        finally:
            self.pending.discard(pending)
        self.unauthorized = response.status == 401
        return response

    def send(
        self, pending: Future[urllib3.BaseHTTPResponse], url: str, headers: dict[str, str], timeout: urllib3.Timeout
    ) -> None:
        """Make a request; an answer for which nobody waits any more is closed."""
        pool = self.client.rest_client.pool_manager
        try:
            response: urllib3.BaseHTTPResponse = pool.request(
                "GET", url, headers=headers, preload_content=False, timeout=timeout, retries=False, redirect=False
            )
        except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
            with suppress(InvalidStateError):
                pending.set_exception(error)
            return
        try:
            pending.set_result(response)
        except InvalidStateError:
            response.close()

    def ended_error(self) -> ApiServerError:
        """The error of every request once the program ends."""
        return ApiServerError(f"API server {self.configuration.host} is not asked any more: the program ends")

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
            raise ApiServerError(f"API server {self.configuration.host}: answer cut short: {error}") from error
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
        text = response.read(REFUSAL_BYTES).decode(errors="replace")
        response.close()
        raise WatchRefusedError(
            f"watch {path} answered {response.status}, expected 200: {' '.join(text.split())[:300]}",
            response.status,
            response.headers.get("Retry-After"),
        )
