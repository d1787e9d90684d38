"""The HTTP client that pushes: with which authorities and certificate, how long an exchange may take, why it failed.

It speaks httpcore: no cookie is kept, no redirect is followed or parsed, nothing is taken from the environment.
Certificate files are checked before every request: a rotated one is used without a restart.
"""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import httpcore
import httpx
import structlog

from delivery.deadline_stream import Deadline, DeadlineBackend
from delivery.manager_url import PATH, manager_url
from delivery.proxies import manager_proxy
from podsonar.errors import SettingsError
from podsonar.keep_alive import CLIENT_IDLE_SECONDS
from podsonar.settings import ManagerConnection

ATTEMPT_SECONDS, PROBE_SECONDS = 60.0, 10.0
RESPONSE_BYTES = 64 << 10
TIMEOUTS = {"connect": 5.0, "write": 30.0, "read": 30.0, "pool": 5.0}
# X509_V_ERR_* of openssl/x509_vfy.h
VERIFY_REASONS = {9: "tls_not_yet_valid", 10: "tls_expired", 62: "tls_hostname", 64: "tls_hostname"}
# What an exchange may raise; ValueError: a response that httpcore or h11 cannot represent.
EXCHANGE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,
    ValueError,
)
Stamp = tuple[tuple[str, int, int], ...]

log = structlog.get_logger()


class ManagerResponse(NamedTuple):
    """The status of a response, its Retry-After header, and as much of its body as was wanted."""

    status: int
    retry_after: str | None
    body: bytes = b""


def tls_context(settings: ManagerConnection) -> ssl.SSLContext:
    """The TLS settings of the connection to the manager; SettingsError for files that cannot be used."""
    ca_file, mtls = settings.manager.ca_file, settings.mtls
    try:
        if ca_file:
            context = ssl.create_default_context(cafile=ca_file)
        elif mtls.cert_path:
            context = ssl.create_default_context()
        else:
            context = httpx.create_ssl_context(verify=not settings.skip_secure_verify, trust_env=False)
        if mtls.cert_path:
            context.load_cert_chain(mtls.cert_path, mtls.key_path or None)
    except OSError as error:
        raise SettingsError(
            f"setting manager.caFile is {ca_file!r}, mtls.certPath {mtls.cert_path!r}, mtls.keyPath {mtls.key_path!r}: "
            f"{error.strerror or error}; expected readable PEM files"
        ) from error
    return context


def core_url(url: httpx.URL) -> httpcore.URL:
    """The URL as httpcore takes it."""
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def make_pool(settings: ManagerConnection, deadline: Deadline) -> httpcore.ConnectionPool:
    """A pool of one connection to the manager, straight or through the proxy of the settings."""
    proxy = manager_proxy(settings.proxy, settings.manager.url)
    return httpcore.ConnectionPool(
        ssl_context=tls_context(settings),
        proxy=httpcore.Proxy(core_url(proxy.url), proxy.raw_auth, proxy.headers.raw) if proxy else None,
        max_connections=1,
        keepalive_expiry=CLIENT_IDLE_SECONDS,
        network_backend=DeadlineBackend(deadline),
    )


def failure_reason(error: BaseException) -> str:
    """Why there was no response, in one word: what TLS objects to, `dns`, `connect`, `timeout` or `transport`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return VERIFY_REASONS.get(cause.verify_code, "tls_untrusted")
        if isinstance(cause, ssl.SSLError):
            return "tls_refused"
        if isinstance(cause, socket.gaierror):
            return "dns"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.TimeoutException | TimeoutError):
        return "timeout"
    return "connect" if isinstance(error, httpcore.ConnectError) else "transport"


def probe_manager(settings: ManagerConnection) -> tuple[int | None, str]:
    """The status of a HEAD request without a token, or None and the reason why there was no response."""
    client = ManagerClient(settings)
    try:
        return client.head()
    finally:
        client.close()


class ManagerClient:
    """The current connection; a new one whenever a certificate file has changed."""

    def __init__(self, settings: ManagerConnection) -> None:
        self.settings = settings
        self.base = manager_url(settings)
        self.url = core_url(httpx.URL(self.base + PATH))
        self.files = [
            name for name in (settings.manager.ca_file, settings.mtls.cert_path, settings.mtls.key_path) if name
        ]
        self.stamp = self.file_stamp()
        self.deadline = Deadline()
        self.pool = make_pool(settings, self.deadline)

    def file_stamp(self) -> Stamp:
        """Inode and time of each certificate file, by which a change is recognized; absent files are left out."""
        found = []
        for name in self.files:
            path = Path(name)
            if path.exists():
                about = path.stat()
                found.append((name, about.st_ino, about.st_mtime_ns))
        return tuple(found)

    def current(self) -> httpcore.ConnectionPool:
        """The pool with the certificates as they are now; the last good one while they cannot be read."""
        stamp = self.file_stamp()
        if stamp == self.stamp or len(stamp) != len(self.files):
            return self.pool
        try:
            fresh = make_pool(self.settings, self.deadline)
        except SettingsError as error:
            log.warning("certificates_not_read", error=str(error))
            return self.pool
        self.pool.close()
        self.pool, self.stamp = fresh, stamp
        return self.pool

    def request(
        self,
        method: str,
        headers: Mapping[str, str],
        content: bytes,
        seconds: float,
        target: str = PATH,
        body_bytes: int = 0,
    ) -> ManagerResponse:
        """The response to one request, within that time; `target` is path and query below the manager's URL.

        It has up to `body_bytes` of the body; 64 KiB beyond that are read, so that the connection stays usable.
        """
        url = self.url if target == PATH else core_url(httpx.URL(self.base + target))
        host = self.url.host.decode("ascii")
        host = f"[{host}]" if ":" in host else host
        sent = {"Host": host if self.url.port is None else f"{host}:{self.url.port}", "User-Agent": "podsonar"}
        sent |= {"Accept": "*/*", "Content-Length": str(len(content)), **headers}
        pool = self.current()
        self.deadline.start(seconds)
        request = httpcore.Request(
            method,
            url,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=content,
            extensions={"timeout": TIMEOUTS},
        )
        response = pool.handle_request(request)
        try:
            kept = bytearray()
            read_bytes = 0
            for chunk in response.iter_stream():
                kept += chunk[: body_bytes - len(kept)]
                read_bytes += len(chunk)
                if read_bytes >= RESPONSE_BYTES + body_bytes:
                    break
        finally:
            response.close()
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
        said = retry_after.decode("latin-1") if retry_after is not None else None
        return ManagerResponse(response.status, said, bytes(kept))

    def post(self, content: bytes, headers: Mapping[str, str], seconds: float = ATTEMPT_SECONDS) -> ManagerResponse:
        """The response to one push."""
        return self.request("POST", headers, content, seconds)

    def head(self, seconds: float = PROBE_SECONDS) -> tuple[int | None, str]:
        """The status of a HEAD request without a token, or None and the reason why there was no response."""
        try:
            return self.request("HEAD", {}, b"", seconds).status, ""
        except EXCHANGE_ERRORS as error:
            return None, failure_reason(error)

    def close(self) -> None:
        """Close the connection to the manager."""
        self.pool.close()
