"""Settings of a fault, by the document's names: whole numbers, lists, ports, addresses. InputError for a bad value."""

import ipaddress
import socket
from collections.abc import Mapping

import msgspec

from chaos.faults.network_rule import MAX_NAMES, wire_name
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


def host_names(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The names of TARGET_HOSTNAMES: a JSON array, or separated by commas."""
    text = settings.get("TARGET_HOSTNAMES", "").strip()
    try:
        is_array = text.startswith("[")
        names = msgspec.json.decode(text, type=tuple[str, ...]) if is_array else list_of(settings, "TARGET_HOSTNAMES")
        for name in names:
            wire_name(name)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
        raise InputError(f"TARGET_HOSTNAMES is {text[:60]!r}: {error}") from error
    if len(names) > MAX_NAMES:
        raise InputError(f"TARGET_HOSTNAMES has {len(names)} names: expected at most {MAX_NAMES}")
    return names


def addresses_of(host: str) -> tuple[str, ...]:
    """The addresses of a host name."""
    try:
        return tuple(sorted({str(item[4][0]) for item in socket.getaddrinfo(host, None)}))
    except (OSError, UnicodeError) as error:
        raise InputError(f"DESTINATION_HOSTS has {host[:80]!r}: expected a name that has an address") from error
