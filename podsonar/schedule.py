"""Windows of a cron schedule, in UTC: daylight saving does not exist here."""

from datetime import UTC, datetime
from itertools import islice, takewhile

from cronsim import CronSim, CronSimError

from podsonar.errors import SettingsError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND

NS_PER_MINUTE = 60 * NS_PER_SECOND
MOST_TICKS = 1000


def schedule(expression: str, after: datetime) -> CronSim:
    """The ticks after a time; SettingsError for an expression that cron would not take."""
    try:
        return CronSim(expression, after)
    except CronSimError as error:
        raise SettingsError(
            f"data.cron.expression {expression!r} is not a cron expression ({error}); "
            'expected five fields such as "15 * * * *", or six with seconds first'
        ) from error


def window_at(tick: datetime, minutes: float) -> Window:
    """The window that begins with a tick and lasts whole seconds."""
    start_ns = int(tick.timestamp()) * NS_PER_SECOND
    return Window(start_ns, start_ns + round(minutes * 60) * NS_PER_SECOND)


def next_window(expression: str, minutes: float, after_ns: int) -> Window:
    """The first window that starts at or after a time."""
    after = datetime.fromtimestamp((after_ns - 1) // NS_PER_SECOND, UTC)
    return window_at(next(schedule(expression, after)), minutes)


def overlapping_window(expression: str, minutes: float, start_ns: int, end_ns: int) -> Window | None:
    """The first window of the schedule that has some time in common with `[start_ns, end_ns)`; None without one."""
    length_ns = round(minutes * 60) * NS_PER_SECOND
    first = next_window(expression, minutes, start_ns - length_ns + 1)
    return first if first.start_ns < end_ns else None


def ticks(expression: str, after_ns: int, until_ns: int) -> int:
    """How many ticks there are in `(after, until]`, counted up to a thousand."""
    after, until = (datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC) for at_ns in (after_ns, until_ns))
    found = takewhile(lambda tick: tick <= until, schedule(expression, after))
    return sum(1 for _ in islice(found, MOST_TICKS))


def due_window(expression: str, minutes: float, after_ns: int, now_ns: int) -> tuple[Window | None, int]:
    """Return the latest window that began in `(after, now]`, and the number of earlier ones that are skipped.

    If the clock stood still or jumped ahead, exactly one window is caught up with; if it jumped back, a window does not
    come again.
    """
    count = ticks(expression, after_ns, now_ns)
    if not count:
        return None, 0
    now = datetime.fromtimestamp(now_ns // NS_PER_SECOND + 1, UTC)
    return window_at(next(CronSim(expression, now, reverse=True)), minutes), count - 1


def period_seconds(expression: str, window: Window) -> float:
    """The time from a window's start to the next tick."""
    return (next_window(expression, 1, window.start_ns + 1).start_ns - window.start_ns) / NS_PER_SECOND
