"""Captures that wait for the directory: bounded on disk, and nothing in their folder stops the agent."""

import os
import resource
import time
from pathlib import Path

import pytest

from node_agent.capture.files.capture_queue import CaptureQueue, QueueLimits
from podsonar.model import Capture
from tests.delivery.test_spool_faults import whole_disk
from tests.node_agent.stages import capture, flow


def taken(attempts: int) -> Capture:
    """A capture with that many attempts."""
    return capture([flow(7, "10.96.0.10", attempts)])


@pytest.fixture
def lost() -> list[tuple[str, int]]:
    """What a queue reported as dropped: reason and attempts."""
    return []


def test_more_captures_than_the_limit_drop_the_oldest(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """By number of files: each capture is in the queue or counted."""
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped), QueueLimits(max_files=3))
    for attempts in (1, 2, 3, 4, 5):
        queue.put(taken(attempts))
    assert lost == [("full", 1), ("full", 2)]
    assert queue.pending() == 3 + 4 + 5


def test_captures_take_no_more_bytes_than_the_limit(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """By size: the oldest make room."""
    CaptureQueue(tmp_path).put(taken(1))
    (path,) = CaptureQueue(tmp_path).paths()
    size = path.stat().st_size
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped), QueueLimits(max_bytes=2 * size + size // 2))
    for attempts in (2, 3, 4):
        queue.put(taken(attempts))
    assert [reason for reason, _attempts in lost] == ["full"] * len(lost)
    assert sum(attempts for _reason, attempts in lost) + queue.pending() == 1 + 2 + 3 + 4
    assert sum(path.stat().st_size for path in queue.paths()) <= 2 * size + size // 2


def test_old_captures_expire(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """A directory that never answers costs captures of a day, not the disk."""
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped), QueueLimits(max_age_seconds=60))
    queue.put(taken(1))
    queue.expire(time.time_ns() + 59 * 10**9)
    assert lost == []
    queue.expire(time.time_ns() + 61 * 10**9)
    assert lost == [("expired", 1)]


def test_capture_that_is_being_resolved_makes_no_room(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """It would be counted as dropped and as delivered."""
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped), QueueLimits(max_files=2))
    queue.put(taken(1))
    queue.put(taken(2))
    captures = queue.captures()
    next(captures)
    queue.put(taken(3))
    assert lost == [("full", 2)]
    captures.close()  # type: ignore[attr-defined]


def test_disk_that_others_filled_drops_no_capture_for_room(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """A capture that does not fit stays in memory."""
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped), QueueLimits(max_bytes=1 << 62))
    queue.put(taken(1))
    with pytest.raises(OSError, match="too little space"):
        queue.make_room(whole_disk(tmp_path))
    assert lost == []
    assert len(queue.paths()) == 1


@pytest.mark.parametrize("kind", ["fifo", "folder", "link"])
@pytest.mark.parametrize("name", ["x.tmp", "00000000000000000001-000-7.capture"])
def test_row_51_strangers_in_the_folder_stop_nothing(tmp_path: Path, name: str, kind: str) -> None:
    """A FIFO, a folder or a link under a name of the queue's: it starts, and yields what is its own."""
    (tmp_path / "captures").mkdir()
    path = tmp_path / "captures" / name
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(tmp_path)
    queue = CaptureQueue(tmp_path)
    queue.put(taken(5))
    assert [found.flows[0].attempts for _path, found in queue.captures()] == [5]
    assert (tmp_path / "captures").stat().st_mode & 0o777 == 0o700


def test_capture_that_cannot_be_read_now_is_not_lost(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """No descriptor is left: an error to try again after, and the capture waits."""
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped))
    queue.put(taken(1))
    path = queue.paths()[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            queue.read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(list(queue.captures())) == 1
    assert lost == []


def test_corrupt_captures_are_kept_ten_at_most(tmp_path: Path, lost: list[tuple[str, int]]) -> None:
    """Each is counted, and the newest stay to be looked at."""
    queue = CaptureQueue(tmp_path, lambda *dropped: lost.append(dropped))
    for number in range(13):
        (queue.folder / f"{number:020d}-000-2.capture").write_bytes(b"damaged")
    assert list(queue.captures()) == []
    assert lost == [("corrupt", 2)] * 13
    assert len(list(queue.folder.glob("*.corrupt"))) == 10


def test_writes_that_fail_leave_no_unfinished_file(tmp_path: Path) -> None:
    """However often a full disk refuses a capture."""
    queue = CaptureQueue(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = capture([flow(7, "10.96.0.10", n, port=n) for n in range(1, 5000)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        queue.put(many)
        for _ in range(5):
            queue.write_unwritten()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(queue.folder.iterdir()) == []
    queue.write_unwritten()
    assert len(queue.paths()) == 1
