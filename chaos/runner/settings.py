"""Settings of a fault, by the document's names: whole numbers, lists, ports, addresses. InputError for a bad value."""

import ipaddress
import socket
from collections.abc import Mapping

from podsonar.errors import InputError


def whole_number(settings: Mapping[str, str], name: str, default: int, least: int = 0, most: int = 3600) -> int:
    """A setting that is a whole number."""
    text = settings.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
        raise InputError(f"{name} is {text[:20]!r}: expected a whole number from {least} to {most}")
    return int(text)


def list_of(settings: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A setting that is a list, separated by commas."""
    return tuple(part.strip() for part in settings.get(name, "").split(",") if part.strip())


def ports_of(settings: Mapping[str, str], name: str) -> tuple[int, ...]:
    """A setting that is a list of ports."""
    texts = list_of(settings, name)
    if not all(text.isascii() and text.isdecimal() and 0 < int(text) < 65536 for text in texts):
        raise InputError(f"{name} is {settings[name][:60]!r}: expected ports, separated by commas")
    return tuple(map(int, texts))


def networks_of(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses of DESTINATION_IPS, and of the names of DESTINATION_HOSTS as they resolve now."""
    networks = list_of(settings, "DESTINATION_IPS")
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise InputError(f"DESTINATION_IPS has {text[:60]!r}: expected an address or a network") from None
    for host in list_of(settings, "DESTINATION_HOSTS"):
        networks += addresses_of(host)
    return networks


def addresses_of(host: str) -> tuple[str, ...]:
    """The addresses of a host name."""
    try:
        return tuple(sorted({str(item[4][0]) for item in socket.getaddrinfo(host, None)}))
    except (OSError, UnicodeError) as error:
        raise InputError(f"DESTINATION_HOSTS has {host[:80]!r}: expected a name that has an address") from error
