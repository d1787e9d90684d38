"""The manager's URL: which one may be sent a token and an inventory."""

import re
from urllib.parse import urlsplit

import httpx

from podsonar.errors import SettingsError
from podsonar.settings import ManagerConnection

PATH = "/api/v1/collections"
HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+(%[\w.-]+)?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def ingest_url(settings: ManagerConnection) -> str:
    """The manager's ingest URL; SettingsError for one that would leak or cannot work."""
    return manager_url(settings) + PATH


def manager_url(settings: ManagerConnection) -> str:
    """The manager's URL without a trailing slash; SettingsError for one that would leak or cannot work."""
    url = settings.manager.url
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
        usable = parts.scheme in ("http", "https") and HOST.fullmatch(host) is not None and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        usable, host = False, ""
    if usable and (parts.username or parts.password):
        raise SettingsError(
            f"setting manager.url names a user (host {host}), expected none: the token file is for that"
        )
    if not usable:
        raise SettingsError(f"setting manager.url is {without_user(url)!r}, expected https://host[:port]")
    if parts.scheme == "http" and not stays_inside(host) and not settings.manager.allow_insecure_http:
        raise SettingsError(
            f"setting manager.url is {url!r}, expected https (or manager.allowInsecureHttp, if it must be)"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def without_user(url: str) -> str:
    """The URL without what may be a password."""
    return re.sub(r"//[^/]*@", "//…@", url)


def stays_inside(host: str) -> bool:
    """Whether a host is this machine, or a Service by a name that no domain outside of a cluster can have."""
    return host in LOOPBACK or host.removesuffix(".").endswith((".svc", ".svc.cluster.local"))
