"""Which proxy a push goes through, as httpx's mounts: a URL pattern each, with a proxy or with none."""

import ipaddress
from urllib.parse import urlsplit

import httpx

from podsonar.errors import SettingsError
from podsonar.settings import Proxy

Mounts = dict[str, httpx.Proxy | None]


def proxy_mounts(settings: Proxy, manager_url: str) -> Mounts:
    """Pattern -> proxy, None for straight; empty where nothing goes through a proxy.

    `noProxy` reads as Go programs read NO_PROXY: `example.org` with its subdomains, `.example.org` those alone, an
    address or a range, `*` for everything, each with `:port` or without.
    """
    mounts: Mounts = {
        f"{scheme}://": parse_proxy(name, url)
        for scheme, own in (("http", settings.http_proxy), ("https", settings.https_proxy))
        for name, url in [("url", settings.url) if settings.url else (f"{scheme}Proxy", own)]
        if url
    }
    words = [word.strip().lower() for word in settings.no_proxy.split(",")]
    if not mounts or "*" in words:
        return {}
    for pattern in filter(None, (bypass_pattern(word, manager_url) for word in words if word)):
        mounts[pattern] = None
    return mounts


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


def bypass_pattern(word: str, manager_url: str) -> str | None:
    """The pattern of a word of `noProxy`; None for a range or an address that the manager's is not in."""
    host, port = word, ""
    if word.count(":") == 1 or word.startswith("["):
        found = urlsplit(f"//{word}")
        host, port = found.hostname or "", f":{found.netloc.rpartition(':')[2]}" if found.port else ""
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return f"all://*{host}{port}"
    at = urlsplit(manager_url).hostname or ""
    try:
        inside = ipaddress.ip_address(at) in network
    except ValueError:
        return None  # a name: which address it has is not looked up for this
    bracketed = f"[{at}]" if ":" in at else at
    return f"all://{bracketed}{port}" if inside else None
