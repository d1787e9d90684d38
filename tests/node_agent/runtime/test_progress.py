"""progress.py: readiness follows what a loop has finished, not a flag."""

from node_agent.runtime.progress import Progress


def test_turn_that_does_not_end_in_time_is_a_stalled_loop() -> None:
    """A turn that ended, or that still has time, is none; the first overdue loop is named."""
    now = [100.0]
    progress = Progress(lambda: now[0])
    assert progress.stalled() is None
    progress.begin("windows", 60)
    progress.begin("resolve", 30)
    now[0] = 129.0
    assert progress.stalled() is None
    now[0] = 131.0
    assert progress.stalled() == "resolve_stalled"
    progress.end("resolve")
    assert progress.stalled() is None
    now[0] = 161.0
    assert progress.stalled() == "windows_stalled"
