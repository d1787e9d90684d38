"""The kernel's own count of failed attempts, beside what a capture has of them."""

from typing import NamedTuple

import pytest

from podsonar.model import Capture, Flow, Window
from tests.scenarios.kernel_counts import unshown_failures
from tests.scenarios.suite import SCENARIOS, disturbed


@pytest.mark.parametrize(
    ("failed", "unfinished", "failures", "unshown"),
    [
        (2, 0, 2, 0),  # all ends were seen
        (1, 1, 2, 1),  # one end was not
        (0, 3, 0, 0),  # the window ended first
        (13, 0, 0, 0),  # closed by their program: not a failure by the kernel's count
        (2, 0, 5, 0),  # connections of another kind that failed: no attempt is without an end
        (1, 2, 2, 1),  # one end was not seen, and one attempt goes on
    ],
)
def test_unfinished_attempt_that_the_kernel_ended_is_unshown(
    failed: int, unfinished: int, failures: int, unshown: int
) -> None:
    """Only what is unfinished in the capture and failed by the kernel's count proves that a run was skipped."""
    attempts = failed + unfinished
    flow = Flow(7, "10.66.1.2", "203.0.113.66", 443, attempts, 0, failed, unfinished, 1, 2, 0, 0, 110)
    capture = Capture(Window(0, 9), "node-a", "bcc:raw_tracepoint", "cgroup", [flow], [], {}, {})
    assert unshown_failures(capture, failures) == unshown


class Runs(NamedTuple):
    """What a scenario's observation says of runs that were skipped."""

    skipped: int
    unshown: int


def test_window_with_one_end_unseen_shows_nothing_of_the_others_in_it() -> None:
    """They share the kernel's counters of the node; scenarios of another window do not."""
    found = {"refused": Runs(0, 0), "timed-out": Runs(0, 2), "straddles-two-windows": Runs(0, 0)}
    assert [SCENARIOS[name].window for name in found] == ["shared", "shared", "two"]
    assert disturbed(found) == ["refused", "timed-out"]
    assert disturbed(found | {"timed-out": Runs(0, 0)}) == []
    assert disturbed(found | {"straddles-two-windows": Runs(1, 0)}) == list(found)
