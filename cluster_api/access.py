"""How the API server is reached and as whom: one value, from a kubeconfig or from the pod's own account."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from podsonar.errors import ApiServerError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")  # RFC 9110, 5.5, without obs-text


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that gives credentials: `users[].user.exec` of a kubeconfig."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cluster_info: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """An API server and an identity; of certificate, key and authority either the file or its content is set."""

    source: str  # for errors: where it came from
    server: str
    ca_file: str | None = None
    ca_data: bytes | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    certificate_file: str | None = None
    certificate_data: bytes | None = None
    key_file: str | None = None
    key_data: bytes | None = None
    token: str | None = None
    token_file: str | None = None
    basic: tuple[str, str] | None = None
    plugin: ExecPlugin | None = None
    impersonation: tuple[tuple[str, str], ...] = ()  # header and value


def header_value(value: str, what: str) -> str:
    """The value, if a header can carry it; ApiServerError that names what it is, never the value."""
    if not HEADER_VALUE.fullmatch(value):
        raise ApiServerError(f"{what} is empty or holds a line end or another character that no header can carry")
    return value


def checked_url(url: str, what: str, schemes: tuple[str, ...]) -> str:
    """The URL without a trailing slash; ApiServerError unless it has a scheme of these and a host."""
    expected = " or ".join(f"{scheme}://host:port" for scheme in schemes)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ApiServerError(f"{what} is no URL; expected {expected}") from error
    if parts.scheme not in schemes or not host or not HEADER_VALUE.fullmatch(url):
        raise ApiServerError(f"{what} has the scheme {parts.scheme[:20]!r}; expected {expected}")
    return url.rstrip("/")


def account_access(folder: Path = ACCOUNT, environment: os._Environ[str] | dict[str, str] = os.environ) -> Access:
    """The access of this pod's service account; ApiServerError where this is no pod, or it has no account."""
    source = "the service account of this pod"
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    token, authority = folder / "token", folder / "ca.crt"
    if not host or not port:
        raise ApiServerError(
            f"{source}: KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set; expected --kubeconfig, or a pod"
        )
    missing = next((path for path in (token, authority) if not path.is_file()), None)
    if missing:
        raise ApiServerError(f"{source}: {str(missing)!r} is missing; expected a pod that mounts its account's token")
    server = checked_url(f"https://{f'[{host}]' if ':' in host else host}:{port}", source, ("https",))
    return Access(source, server, ca_file=str(authority), token_file=str(token))
