"""What the manager's loops do with every run, each by itself: one that cannot be followed takes no other along."""

from collections.abc import Callable, Iterable

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from podsonar.errors import StoreError
from podsonar.supervised import place_of

log = structlog.get_logger()


class EachRun:
    """One loop's runs. What one raises is counted by `on_failure` each time, and logged when it is another error.

    What the database raises is no run's own, and ends the turn.
    """

    def __init__(self, on_failure: Callable[[], object] = lambda: None) -> None:
        self.on_failure = on_failure
        self.failed: dict[str, str] = {}

    def act(self, run_ids: Iterable[str], act: Callable[[str], object], connection: Connection | None = None) -> None:
        """Call `act` with every id; with a connection, what a failed call has written is taken back."""
        ids = tuple(run_ids)
        self.failed = {run: self.failed[run] for run in ids if run in self.failed}
        for run in ids:
            try:
                if connection is None:
                    act(run)
                    continue
                with connection.begin_nested():
                    act(run)
            except (SQLAlchemyError, StoreError):
                raise
            except Exception as error:  # noqa: BLE001 - of any type: the other runs are followed all the same
                self.on_failure()
                found = f"{type(error).__name__} at {place_of(error)}"
                if self.failed.get(run) != found:
                    self.failed[run] = found
                    log.error("run_failed", run=run, error=type(error).__name__, place=place_of(error))  # noqa: TRY400
