"""The meaning of a manager's response for a batch, and the wait that follows."""

import email.utils
import math
import random
import re
from enum import Enum

LONGEST_RETRY_AFTER_SECONDS = 300.0
HOLD_SECONDS = (30.0, 900.0)
LONGEST_RETRY_SECONDS = 60.0
WHOLE_NUMBER = re.compile(r"\d{1,20}", re.ASCII)


class ResponseAction(Enum):
    """What happens to a batch after a response."""

    STORED = "stored"
    RETRY = "retry"
    HOLD = "hold"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"


ACTIONS = {
    201: ResponseAction.STORED,
    400: ResponseAction.REJECTED,
    409: ResponseAction.REJECTED,
    413: ResponseAction.TOO_LARGE,
    422: ResponseAction.REJECTED,
    408: ResponseAction.RETRY,
    425: ResponseAction.RETRY,
    429: ResponseAction.RETRY,
    501: ResponseAction.HOLD,
    505: ResponseAction.HOLD,
}


def action_for(status: int) -> ResponseAction:
    """The action for a status: other 5xx are tried again; any other status is no place to send data to, and is held."""
    return ACTIONS.get(status) or (ResponseAction.RETRY if status >= 500 else ResponseAction.HOLD)


def retry_after_seconds(value: str | None, now_seconds: float) -> float | None:
    """The wait that a Retry-After header asks for, at most 300 s; None if it is absent, past or no time."""
    text = (value or "").strip()
    if WHOLE_NUMBER.fullmatch(text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now_seconds
        except (ValueError, OverflowError, TypeError, IndexError):
            return None
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS)


class PushPace:
    """The waits after batches that were not stored.

    Holds and retries are counted apart: a manager that answers 404 once while it starts, after an hour in which nobody
    answered, is asked again after 30 s and not after 15 min.
    """

    def __init__(self) -> None:
        self.last: ResponseAction | None = None
        self.failures = 0

    def stored(self) -> None:
        """Begin with the shortest waits again."""
        self.last, self.failures = None, 0

    def next_seconds(self, action: ResponseAction, retry_after: float | None) -> float:
        """How long to wait after a batch that was not stored."""
        if action is not self.last:
            self.stored()
            self.last = action
        self.failures += 1
        if action is ResponseAction.HOLD:
            first, longest = HOLD_SECONDS
            return float(min(longest, first * 2 ** min(self.failures - 1, 10)))
        if retry_after is not None:
            return retry_after
        # Full jitter: the agents of a cluster must not come back all at once.
        limit = min(LONGEST_RETRY_SECONDS, 2.0 ** min(self.failures - 1, 10))
        return random.uniform(0, limit)  # noqa: S311 - no secret
