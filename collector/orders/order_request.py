"""Parses the body of `POST /v1/windows`: what is wrong is named by its place, with what was expected. Pure."""

from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec

from podsonar.errors import InputError
from podsonar.model import Purpose, Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from podsonar.window_orders import KINDS, LONGEST_SECONDS, MOST_WINDOWS, SHORTEST_SECONDS, RunId

MAX_BODY_BYTES = 64 << 10


class WantedWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window of the order."""

    start: str
    seconds: Annotated[int, msgspec.Meta(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)]
    kind: str


class WantedWindows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body."""

    run: RunId
    windows: Annotated[tuple[WantedWindow, ...], msgspec.Meta(min_length=1, max_length=MOST_WINDOWS)]


class Order(NamedTuple):
    """What is ordered: all of a run's windows, one after the other."""

    run: str
    windows: tuple[Window, ...]


def parse_order(content: bytes) -> Order:
    """Return the order in a body; InputError names what is wrong, and what was expected."""
    try:
        wanted = msgspec.json.decode(content, type=WantedWindows)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"body: {error}") from error
    windows = tuple(window_of(one, wanted.run, place) for place, one in enumerate(wanted.windows))
    for place, (before, after) in enumerate(pairwise(windows), start=1):
        if after.start_ns < before.end_ns:
            raise InputError(
                f"windows[{place}]: start is {wanted.windows[place].start}, expected none before the end of the window "
                "in front of it"
            )
    return Order(wanted.run, windows)


def window_of(wanted: WantedWindow, run: str, place: int) -> Window:
    """Return a window of the order: it begins with a second, which is its name on every node."""
    if wanted.kind not in KINDS:
        raise InputError(f"windows[{place}]: kind is {wanted.kind[:40]!r}, expected one of {', '.join(KINDS)}")
    try:
        start_ns = parse_rfc3339(wanted.start)
    except InputError as error:
        raise InputError(f"windows[{place}]: start: {error}") from error
    if start_ns % NS_PER_SECOND:
        raise InputError(f"windows[{place}]: start is {wanted.start}, expected a whole second")
    return Window(start_ns, start_ns + wanted.seconds * NS_PER_SECOND, Purpose(run, wanted.kind))
