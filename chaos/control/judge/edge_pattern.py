"""Edges as people name them: `shop/frontend -> shop/cart:8080`, with `*` for any part. Pure.

An end is `namespace/name` of a Service or workload, `node/NAME`, or an address; the port may be left out.
"""

from fnmatch import fnmatchcase
from typing import NamedTuple

from chaos.control.judge.observed_edges import EdgeKey, short_name
from podsonar.errors import InputError

ARROW = "->"


class EdgePattern(NamedTuple):
    """Which edges are meant."""

    source: str
    destination: str
    port: str

    def matches(self, key: EdgeKey) -> bool:
        """Whether the edge is one of them."""
        return (
            fnmatchcase(short_name(key.source), self.source)
            and fnmatchcase(short_name(key.destination), self.destination)
            and fnmatchcase(key.port, self.port)
        )

    @property
    def text(self) -> str:
        """The pattern as it is written."""
        return f"{self.source} {ARROW} {self.destination}" + (f":{self.port}" if self.port != "*" else "")


def parse_edge(text: str, place: str) -> EdgePattern:
    """The pattern of a text; InputError names the place, the text and what was expected."""
    source, arrow, rest = text.partition(ARROW)
    source, rest = source.strip(), rest.strip()
    destination, port = split_port(rest)
    if not arrow or not source or not destination or not (port == "*" or port.isdigit()):
        raise InputError(
            f"{place} is {text!r}: expected `SOURCE -> DESTINATION[:PORT]`, as in `shop/frontend -> shop/cart:8080`"
        )
    return EdgePattern(literal(source), literal(destination), port)


def split_port(text: str) -> tuple[str, str]:
    """Destination and port; `*` without one. An IPv6 address with a port stands in brackets."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        return address, rest.removeprefix(":") or "*"
    if text.count(":") != 1:
        return text, "*"
    destination, _, port = text.partition(":")
    return destination, port


def literal(text: str) -> str:
    """A pattern in which only `*` is special."""
    return text.replace("[", "[[]").replace("?", "[?]")
