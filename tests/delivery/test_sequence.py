"""A sender's batches have consecutive numbers, whatever happens to its process and its disk."""

from contextlib import closing
from pathlib import Path

import pytest

from delivery import spool_file
from delivery.batch import Batch
from delivery.sequence import FILE
from delivery.spool import Spool, SpoolLimits
from podsonar.batch_sequence import BatchSequence

WINDOWS = ("2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z")


def batch(name: str, window: str = WINDOWS[0], size: int = 100) -> Batch:
    """A batch of a window."""
    return Batch(name, "connections", 1, b"x" * size, window=window)


def sent(spool: Spool) -> list[BatchSequence]:
    """The places of all waiting batches, which are delivered then."""
    places = []
    while (one := spool.oldest()) is not None:
        assert one.sequence is not None
        places.append(one.sequence)
        spool.delete(one.id)
    return places


def test_numbers_go_on_after_a_restart_with_and_without_waiting_batches(tmp_path: Path) -> None:
    """One sender; the first number of a window and the window before are said, too."""
    found: list[BatchSequence] = []
    for turn, window in enumerate((WINDOWS[0], WINDOWS[0], WINDOWS[1])):
        with closing(Spool(tmp_path)) as spool:
            spool.put(batch(f"c-{turn}", window))
            if turn != 1:
                found += sent(spool)
    assert [(one.number, one.first, one.previous) for one in found] == [
        (1, 1, ""),
        (2, 1, ""),
        (3, 3, WINDOWS[0]),
    ]
    assert len({one.sender for one in found}) == 1


def test_crash_between_batch_and_number_gives_no_number_twice(tmp_path: Path) -> None:
    """The waiting batch knows its number; the file is as old as it may be."""
    with closing(Spool(tmp_path)) as spool:
        spool.put(batch("c-1"))
        before = (tmp_path / FILE).read_bytes()
        spool.put(batch("c-2"))
        spool.put(batch("c-3"))
    (tmp_path / FILE).write_bytes(before)
    with closing(Spool(tmp_path)) as spool:
        spool.put(batch("c-4"))
        assert [one.number for one in sent(spool)] == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["absent", "empty", "garbage", "folder", "link"])
def test_spoilt_file_begins_a_new_sender_and_stops_nothing(tmp_path: Path, damage: str) -> None:
    """Numbers of the old sender are never given to another batch."""
    with closing(Spool(tmp_path)) as spool:
        spool.put(batch("c-1"))
        old = sent(spool)[0].sender
    path = tmp_path / FILE
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "link":
        (tmp_path / "other").write_text("{}")
        path.symlink_to(tmp_path / "other")
    elif damage != "absent":
        path.write_bytes({"empty": b"", "garbage": b'{"sender": 7}'}[damage])
    with closing(Spool(tmp_path)) as spool:
        spool.put(batch("c-2"))
        spool.put(batch("c-3"))
        found = sent(spool)
    assert [one.number for one in found] == [1, 2]
    assert {one.sender for one in found} != {old}


def test_dropped_batch_has_had_a_number_and_one_that_was_never_written_has_none(tmp_path: Path) -> None:
    """What the spool lost is missing at the manager; what the caller still has gets the next number later."""
    with closing(Spool(tmp_path, SpoolLimits(max_bytes=2000, max_files=2))) as spool:
        for name in ("c-1", "c-2", "c-3"):
            spool.put(batch(name))
        spool.put(batch("c-4", size=3000))  # larger than the spool
        spool.put(batch("c-5"))
        assert [one.number for one in sent(spool)] == [3, 5]


def test_batch_of_a_spool_of_before_has_no_number(tmp_path: Path) -> None:
    """It is delivered without one."""
    with closing(Spool(tmp_path)) as spool:
        spool.put(batch("c-1"))
        (path,) = spool.paths()
    path.write_bytes(spool_file.encode(Batch("c-1", "connections", 1, b"x")))
    with closing(Spool(tmp_path)) as spool:
        found = spool.oldest()
        assert found is not None
        assert found.sequence is None
