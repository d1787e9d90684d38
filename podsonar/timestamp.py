"""Times on the wire: RFC 3339 with microseconds and `Z`; in programs integer nanoseconds since the epoch, UTC."""

import re
from datetime import UTC, datetime

from podsonar.errors import InputError

NS_PER_SECOND = 1_000_000_000
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999

RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
USUAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z", re.ASCII)  # as the API and we write it


def rfc3339(at_ns: int) -> str:
    """The wire form of a time: `2026-11-24T10:15:00.000000Z`."""
    seconds, rest_ns = divmod(at_ns, NS_PER_SECOND)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.isoformat()[:19]}.{rest_ns // 1000:06d}Z"


def rfc3339_milliseconds(at_ns: int) -> str:
    """A time as the service discovery API writes it: `2025-05-01T15:03:53.114Z`."""
    return f"{rfc3339(at_ns)[:-4]}Z"


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time (any offset, 0 to 9 decimals) that `rfc3339` can write.

    InputError otherwise: an offset may lead out of the years 1 to 9999, which no calendar of ours has.
    """
    if USUAL_TIME.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass  # the general case finds out why
        else:
            return int(moment.timestamp()) * NS_PER_SECOND + moment.microsecond * 1000
    match = RFC3339.fullmatch(text)
    if match is None:
        raise InputError(f"time {text[:40]!r} is not RFC 3339 such as 2026-11-24T10:15:00Z")
    day, clock, decimals, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError as error:
        raise InputError(f"time {text[:40]!r} is not RFC 3339: {error}") from error
    seconds = int(moment.timestamp())
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise InputError(f"time {text[:40]!r} is not in the years 1 to 9999 of UTC")
    return seconds * NS_PER_SECOND + int((decimals or "").ljust(9, "0"))
