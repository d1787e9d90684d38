"""The windows that an experiment wants to be observed in: `spec.windows`, for the manager and the runner. Pure."""

import math
from collections.abc import Mapping
from typing import Annotated

import msgspec

from podsonar.window_orders import LEAD_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, TRAVEL_SECONDS

DEFAULT_SECONDS = 60  # the longest that a fault lasts without TOTAL_CHAOS_DURATION
MOST_DIGITS = 4
MOST_FAULT_WINDOWS = 24  # what lasts longer is observed in its first part
PREPARE_SECONDS = 20  # from the end of the baseline to the injection: probes, injectors
FREE_SECONDS = 300  # how long a group of steps waits where the schedule, or another run, has the next windows


class WindowSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How long windows are, and how many are ordered before and behind a fault; in it as many as it lasts."""

    seconds: Annotated[int, msgspec.Meta(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)] = 10
    baseline: Annotated[int, msgspec.Meta(ge=1, le=12)] = 3
    recovery: Annotated[int, msgspec.Meta(ge=0, le=12)] = 3

    def kinds(self, fault_seconds: int) -> list[str]:
        """The kinds of the windows of a group of steps, back to back."""
        fault = min(MOST_FAULT_WINDOWS, math.ceil((PREPARE_SECONDS + fault_seconds) / self.seconds))
        return ["baseline"] * self.baseline + ["fault"] * fault + ["recovery"] * self.recovery

    @property
    def longest_wait_seconds(self) -> int:
        """The most that a group of steps begins later for its windows; the recovery of the one before is in it."""
        return LEAD_SECONDS + TRAVEL_SECONDS + FREE_SECONDS + (self.baseline + self.recovery) * self.seconds


def fault_seconds(settings: Mapping[str, str]) -> int:
    """How long a fault lasts with the time before it, by its settings; what is no number has no time."""
    given = (settings.get("TOTAL_CHAOS_DURATION") or str(DEFAULT_SECONDS), settings.get("RAMP_TIME") or "0")
    return sum(int(one) for one in given if one.isascii() and one.isdecimal() and len(one) <= MOST_DIGITS)
