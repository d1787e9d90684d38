"""The HTTP client that pushes: which URL it may send to, with which authorities and certificate, and why it failed.

Certificate files are looked at before every request: a rotated one is used without a restart.
"""

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import structlog

from delivery.proxies import proxy_mounts
from podsonar.errors import SettingsError
from podsonar.settings import AgentConfiguration

PATH = "/api/v1/collections"
# X509_V_ERR_* of openssl/x509_vfy.h
VERIFY_REASONS = {9: "tls_not_yet_valid", 10: "tls_expired", 62: "tls_hostname", 64: "tls_hostname"}
Stamp = tuple[tuple[str, int, int], ...]

log = structlog.get_logger()


def ingest_url(settings: AgentConfiguration) -> str:
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


def make_client(settings: AgentConfiguration) -> httpx.Client:
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
    mounts = {
        pattern: httpx.HTTPTransport(verify=context, proxy=proxy, trust_env=False) if proxy else None
        for pattern, proxy in proxy_mounts(settings.proxy, settings.manager.url).items()
    }
    return httpx.Client(
        verify=context,
        follow_redirects=False,
        trust_env=False,
        mounts=mounts,
        timeout=httpx.Timeout(connect=5, write=30, read=30, pool=5),
        headers={"User-Agent": "podsonar"},
    )


def failure_reason(error: BaseException) -> str:
    """Why there was no answer, in one word: what TLS objects to, `dns`, `connect`, `timeout` or `transport`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return VERIFY_REASONS.get(cause.verify_code, "tls_untrusted")
        if isinstance(cause, ssl.SSLError):
            return "tls_refused"
        if isinstance(cause, socket.gaierror):
            return "dns"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    return "connect" if isinstance(error, httpx.ConnectError) else "transport"


def probe_manager(settings: AgentConfiguration) -> tuple[int | None, str]:
    """The status of a HEAD request without a token (any tells that the manager is there), or None and the reason."""
    url = ingest_url(settings)
    with make_client(settings) as client:
        try:
            return client.head(url).status_code, ""
        except httpx.HTTPError as error:
            return None, failure_reason(error)


class ManagerClient:
    """The current client; a new one whenever a certificate file has changed."""

    def __init__(self, settings: AgentConfiguration) -> None:
        self.settings = settings
        self.url = ingest_url(settings)
        self.files = [
            name for name in (settings.manager.ca_file, settings.mtls.cert_path, settings.mtls.key_path) if name
        ]
        self.stamp = self.file_stamp()
        self.client = make_client(settings)

    def file_stamp(self) -> Stamp:
        """What tells a changed file: its inode and time; absent ones are left out, as in the middle of a swap."""
        found = []
        for name in self.files:
            path = Path(name)
            if path.exists():
                about = path.stat()
                found.append((name, about.st_ino, about.st_mtime_ns))
        return tuple(found)

    def current(self) -> httpx.Client:
        """The client with the certificates as they are now; the last good one while they cannot be read."""
        stamp = self.file_stamp()
        if stamp == self.stamp or len(stamp) != len(self.files):
            return self.client
        try:
            fresh = make_client(self.settings)
        except SettingsError as error:
            log.warning("certificates_not_read", error=str(error))
            return self.client
        self.client.close()
        self.client, self.stamp = fresh, stamp
        return self.client

    def close(self) -> None:
        """Let go of the connection to the manager."""
        self.client.close()
