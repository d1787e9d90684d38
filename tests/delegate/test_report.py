"""delegate/report.py: a lease is renewed until the work is done, whatever a report raises."""

import threading

from delegate.log_lines import LogLines
from delegate.report import Reporter
from delegate.task import Task, TaskReport


class FailingManager:
    """Raises an error of each of these types in turn, then accepts. Checks no lease."""

    def __init__(self, *errors: type[Exception]) -> None:
        self.errors = list(errors)
        self.accepted = threading.Event()

    def report(self, task_id: str, report: TaskReport) -> int:
        """The status of a report."""
        assert (task_id, report.status) == ("t", "RUNNING")
        if self.errors:
            raise self.errors.pop(0)
        self.accepted.set()
        return 200

    def log(self, method: str, query: str, lines: object) -> int:
        """No stream is wanted."""
        raise AssertionError(method)


def test_renewal_goes_on_after_an_error_that_nobody_foresaw() -> None:
    """Else the lease would end in silence, and the manager would hand the task to another delegate while it runs."""
    manager, task = FailingManager(UnicodeError, KeyError), Task("t", 1, "apply", 0.03)
    lines = LogLines(manager, task, lambda _result, _number: None)
    reporter = Reporter(manager, "d", task, threading.Event(), lines)  # type: ignore[arg-type]
    with reporter.working():
        assert manager.accepted.wait(30)
    assert reporter.done.is_set()
    assert not reporter.lost.is_set()
