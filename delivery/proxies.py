"""Which proxy pushes go through."""

import ipaddress
from urllib.parse import urlsplit

import httpx

from podsonar.errors import SettingsError
from podsonar.settings import Proxy

DEFAULT_PORTS = {"http": 80, "https": 443}


def manager_proxy(settings: Proxy, manager_url: str) -> httpx.Proxy | None:
    """The proxy on the way to the manager, None for a direct connection; SettingsError if any of them is no URL.

    `noProxy` reads as Go programs read NO_PROXY: `example.org` with its subdomains, `.example.org` those alone, an
    address or a range, `*` for everything, each with `:port` or without.
    """
    proxies = {
        scheme: parse_proxy(name, url)
        for scheme, own in (("http", settings.http_proxy), ("https", settings.https_proxy))
        for name, url in [("url", settings.url) if settings.url else (f"{scheme}Proxy", own)]
        if url
    }
    words = [word.strip().lower() for word in settings.no_proxy.split(",")]
    if any(is_bypassed(word, manager_url) for word in words if word):
        return None
    return proxies.get(urlsplit(manager_url).scheme)


def parse_proxy(key: str, url: str) -> httpx.Proxy:
    """The proxy; SettingsError for a URL that is none, which may hold a password and is not repeated."""
    try:
        proxy = httpx.Proxy(url)
        usable = proxy.url.scheme in ("http", "https") and bool(proxy.url.host)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise SettingsError(f"setting proxy.{key} is not a proxy's URL, expected http://host:port")
    return proxy


def is_bypassed(word: str, url: str) -> bool:
    """Whether a word of `noProxy` names the host of a URL; the address of a name is not looked up for this."""
    if word == "*":
        return True
    parts = urlsplit(url)
    own_host = parts.hostname or ""
    host = word
    if word.count(":") == 1 or word.startswith("["):
        host, _, port = word.rpartition(":") if not word.endswith("]") else (word, "", "")
        if port and (not port.isdecimal() or int(port) != (parts.port or DEFAULT_PORTS.get(parts.scheme))):
            return False
        host = host.strip("[]")
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return own_host.endswith(host if host.startswith(".") else f".{host}") or own_host == host
    try:
        return ipaddress.ip_address(own_host) in network
    except ValueError:
        return False
