"""Windows of a cron schedule, in UTC: daylight saving does not exist here."""

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from discovery.errors import SettingsError
from discovery.records import NS_PER_SECOND, Window

NS_PER_MINUTE = 60 * NS_PER_SECOND


def schedule(expression: str, after: datetime) -> CronSim:
    """The ticks after a time; SettingsError for an expression that cron would not take."""
    try:
        return CronSim(expression, after)
    except CronSimError as error:
        raise SettingsError(
            f"data.cron.expression {expression!r} is not a cron expression ({error}); "
            'expected five fields such as "15 * * * *"'
        ) from error


def next_window(expression: str, minutes: int, after_ns: int) -> Window:
    """The first window that starts at or after a time."""
    after = datetime.fromtimestamp((after_ns - 1) // NS_PER_SECOND, UTC)
    tick = next(schedule(expression, after))
    start_ns = int(tick.timestamp()) * NS_PER_SECOND
    return Window(start_ns, start_ns + minutes * NS_PER_MINUTE)
