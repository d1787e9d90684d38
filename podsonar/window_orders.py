"""Windows on order: `/v1/windows` of the collector, the same for collector, node agent and whoever orders."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from podsonar.errors import InputError
from podsonar.model import Purpose, Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

PATH = "/v1/windows"
KINDS = ("baseline", "fault", "recovery")
MOST_WINDOWS = 64  # ordered and not over, of all runs together
SHORTEST_SECONDS, LONGEST_SECONDS = 5, 60
LEAD_SECONDS = 15  # from the order to the begin of its first window: agents must hear of it, and load a program
TRAVEL_SECONDS = 2  # beyond the lead: of a request that names the begin
HORIZON_SECONDS = 3600  # from the order to the end of its last window
MOST_WAIT_SECONDS = 60  # for which a request for news may be held

RunId = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")]


class PurposeWire(msgspec.Struct, frozen=True):
    """What a window is for; a kind that is not known yet is taken as it is."""

    run: RunId
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[a-z-]+$")]

    def purpose(self) -> Purpose:
        """Return the value."""
        return Purpose(self.run, self.kind)


class OrderedWindowWire(msgspec.Struct, frozen=True):
    """An ordered window."""

    start: str
    end: str
    purpose: PurposeWire

    def window(self) -> Window:
        """Return the window; InputError unless its times are times, and its end after its start."""
        window = Window(parse_rfc3339(self.start), parse_rfc3339(self.end), self.purpose.purpose())
        if window.end_ns <= window.start_ns:
            raise InputError(f"an ordered window ends at {self.end} and starts at {self.start}")
        return window


class OrdersWire(msgspec.Struct, frozen=True):
    """The answer about ordered windows."""

    revision: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    windows: Annotated[tuple[OrderedWindowWire, ...], msgspec.Meta(max_length=4 * MOST_WINDOWS)]


class Orders(NamedTuple):
    """The ordered windows, oldest first, under the revision of their list: another list has another one."""

    revision: str
    windows: tuple[Window, ...]

    def wire(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"revision": self.revision, "windows": [{"id": one.id, **one.wire()} for one in self.windows]}


def read_orders(body: bytes) -> Orders:
    """Return the orders in an answer; InputError if it is none."""
    try:
        wire = msgspec.json.decode(body, type=OrdersWire)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the answer holds no ordered windows: {error}") from error
    return Orders(wire.revision, tuple(sorted((one.window() for one in wire.windows), key=lambda one: one.start_ns)))


def soonest_start_ns(now_ns: int) -> int:
    """Return the first whole second for which an order that is made now comes early enough."""
    return (now_ns // NS_PER_SECOND + LEAD_SECONDS + TRAVEL_SECONDS) * NS_PER_SECOND


def overlapping(windows: Sequence[Window], start_ns: int, end_ns: int) -> Window | None:
    """Return the first of the windows that has some time in common with `[start_ns, end_ns)`."""
    return next((one for one in windows if one.start_ns < end_ns and start_ns < one.end_ns), None)
