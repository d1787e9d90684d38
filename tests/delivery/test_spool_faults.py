"""What a disk, a stranger in the folder or a flipped bit does to a spool: nothing is sent changed, nothing waits."""

import os
import resource
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from delivery.batch import Batch
from delivery.spool import Spool, SpoolLimits
from delivery.spool_file import encode
from podsonar.atomic_file import write
from podsonar.errors import SpoolError
from podsonar.private_folder import lacking_bytes, shortage

BATCH = Batch("c-1764418500-0123456789abcdef", "connections", 1_764_418_500_000_000_000, b"\x1f\x8bpayload", 23)
FILE = "000000000001-c-1764418500-0123456789abcdef.batch"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond that size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def lost() -> list[tuple[str, str, int]]:
    """What a spool reported as dropped: reason, id and events."""
    return []


def batch(name: str, size: int = 100) -> Batch:
    """A batch of that id and size with three events."""
    return Batch(name, "connections", time.time_ns(), b"x" * size, 3)


def test_row_51_no_flipped_bit_changes_what_is_sent(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """Each bit of a file, one at a time: the batch is set aside, and never sent with another id, kind or count."""
    spool = Spool(tmp_path, on_dropped=lambda *dropped: lost.append(dropped))
    spool.put(BATCH)
    good = (tmp_path / FILE).read_bytes()
    spool.close()
    for bit in range(len(good) * 8):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / FILE).write_bytes(damaged)
        again = Spool(tmp_path, on_dropped=lambda *dropped: lost.append(dropped))
        assert again.oldest() is None, bit
        again.close()
    assert [(reason, name) for reason, name, _events in lost] == [("corrupt", BATCH.id)] * len(good) * 8


def test_file_with_another_batchs_name_is_set_aside(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """A name and a header that differ would make a batch that is sent for ever and never deleted."""
    (tmp_path / "000000000007-c-other.batch").write_bytes(encode(BATCH))
    spool = Spool(tmp_path, on_dropped=lambda *dropped: lost.append(dropped))
    assert spool.oldest() is None
    assert lost == [("corrupt", "c-other", 23)]


def test_files_of_the_previous_format_are_sent(tmp_path: Path) -> None:
    """An upgrade delivers what waited before it."""
    header = {"magic": "podsonar-batch", "version": 1, "id": BATCH.id, "kind": "connections", "events": 23}
    header |= {"created": BATCH.created_ns, "crc": zlib.crc32(BATCH.payload), "length": len(BATCH.payload)}
    (tmp_path / FILE).write_bytes(orjson.dumps(header) + b"\n" + BATCH.payload)
    assert Spool(tmp_path).oldest() == BATCH


def test_row_52_failed_writes_leave_no_unfinished_file(tmp_path: Path) -> None:
    """However often a full disk refuses a batch: its room is free again, and a small batch fits."""
    spool = Spool(tmp_path)
    with largest_file(10_000):
        for number in range(5):
            with pytest.raises(SpoolError, match="while writing"):
                spool.put(batch(f"c-{number}", 20_000))
        spool.put(batch("c-small"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000006-c-small.batch", "lock", "sequence"]


def test_atomic_write_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    """The file is the old one, and nothing else is left."""
    write(tmp_path / "a", b"old")
    with largest_file(100), pytest.raises(OSError, match="File too large"):
        write(tmp_path / "a", b"x" * 1000)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "file"])
@pytest.mark.parametrize("name", ["x.tmp", "000000000001-c-9.batch", "corrupt", "rejected"])
def test_row_51_strangers_in_the_folder_stop_nothing(
    tmp_path: Path, name: str, kind: str, lost: list[tuple[str, str, int]]
) -> None:
    """Whatever stands there under a name of the spool's: it starts, sends, sets aside, and writes nowhere else."""
    folder, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    match kind:
        case "fifo":
            os.mkfifo(folder / name)
        case "folder":
            (folder / name).mkdir()
        case "link":
            (folder / name).symlink_to(elsewhere)
        case _:
            (folder / name).write_bytes(b"?")
    spool = Spool(folder, on_dropped=lambda *dropped: lost.append(dropped))
    spool.put(batch("c-bad"))
    spool.put(batch("c-good"))
    (bad,) = spool.paths_of("c-bad")
    bad.write_bytes(b"damaged")
    found = spool.oldest()
    assert found is not None
    assert found.id == "c-good"
    spool.quarantine("c-good")
    assert spool.stats().batches == 0
    assert [entry for entry in lost if entry[1] != "9" and entry[1] != "c-9"] == [
        ("corrupt", "c-bad", 3),
        ("rejected", "c-good", 3),
    ]
    assert list(elsewhere.iterdir()) == []


def test_waiting_file_that_becomes_a_fifo_is_set_aside(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """Reading it waits for nobody who would write to it."""
    spool = Spool(tmp_path, on_dropped=lambda *dropped: lost.append(dropped))
    spool.put(batch("c-1"))
    spool.paths()[0].unlink()
    os.mkfifo(tmp_path / "000000000001-c-1.batch")
    assert spool.oldest() is None
    assert lost == [("corrupt", "c-1", 3)]


def test_file_that_cannot_be_read_now_is_not_lost(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """No descriptor is left: an error to try again after, and the batch waits."""
    spool = Spool(tmp_path, on_dropped=lambda *dropped: lost.append(dropped))
    spool.put(batch("c-1"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            spool.oldest()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = spool.oldest()
    assert found is not None
    assert lost == []


def test_batch_larger_than_the_spool_evicts_no_other(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """It is dropped and counted itself."""
    spool = Spool(tmp_path, SpoolLimits(max_bytes=2000), lambda *dropped: lost.append(dropped))
    for name, size in (("c-1", 500), ("c-2", 500), ("c-huge", 2000)):
        spool.put(batch(name, size))
    assert lost == [("too_large", "c-huge", 3)]
    assert [entry.batch_id for entry in spool.waiting()] == ["c-1", "c-2"]


def test_disk_that_others_filled_costs_no_waiting_batch(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """If dropping everything would not make the room, nothing is dropped."""
    spool = Spool(tmp_path, SpoolLimits(max_bytes=1 << 62), lambda *dropped: lost.append(dropped))
    spool.put(batch("c-1"))
    with pytest.raises(OSError, match="too little space"):
        spool.make_room(whole_disk(tmp_path))
    assert lost == []


def whole_disk(folder: Path) -> int:
    """The size of a folder's file system, of which so much is never free, whatever others write or remove meanwhile."""
    about = os.statvfs(folder)
    return about.f_blocks * about.f_frsize


@pytest.mark.parametrize(
    ("wanted", "whole", "free", "lacking"),
    [
        (0, 100 << 30, 64 << 20, 0),
        (1, 100 << 30, 64 << 20, 1),
        (5 << 20, 100 << 30, 0, 69 << 20),
        (0, 1000 << 20, 50 << 20, 0),
        (3, 1000 << 20, 50 << 20, 3),
        (7, 1000 << 20, 60 << 20, 0),
    ],
)
def test_64_mib_or_a_twentieth_of_the_disk_stay_free(wanted: int, whole: int, free: int, lacking: int) -> None:
    """What is less; what a file lacks then has to be freed before it is written."""
    assert shortage(wanted, whole, free) == lacking


def test_disk_is_asked_for_its_size_and_what_is_free(tmp_path: Path) -> None:
    """A file of the size of the whole disk never fits, and no longer lacks than that and the floor."""
    whole = whole_disk(tmp_path)
    assert 0 < lacking_bytes(tmp_path, whole) <= whole + (64 << 20)


def test_batch_that_is_being_sent_makes_no_room(tmp_path: Path, lost: list[tuple[str, str, int]]) -> None:
    """It would be counted as dropped and as delivered."""
    spool = Spool(tmp_path, SpoolLimits(max_files=2), lambda *dropped: lost.append(dropped))
    spool.put(batch("c-1"))
    spool.put(batch("c-2"))
    spool.in_flight = "c-1"
    spool.put(batch("c-3"))
    assert lost == [("full", "c-2", 3)]


def test_postponed_batch_is_behind_the_others_also_after_a_restart(tmp_path: Path) -> None:
    """The order on disk is the order in memory."""
    spool = Spool(tmp_path)
    for name in ("c-1", "c-2", "c-3"):
        spool.put(batch(name))
    spool.postpone("c-1")
    expected = ["c-2", "c-3", "c-1"]
    assert [entry.batch_id for entry in spool.waiting()] == expected
    spool.close()
    assert [entry.batch_id for entry in Spool(tmp_path).waiting()] == expected


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750])
def test_folders_are_for_their_owner_alone(tmp_path: Path, mode: int) -> None:
    """Also those that were there before with another mode."""
    folder = tmp_path / "a" / "spool"
    (folder / "corrupt").mkdir(parents=True)
    (folder / "corrupt").chmod(mode)
    folder.chmod(mode)
    spool = Spool(folder)
    spool.put(batch("c-1"))
    spool.paths()[0].write_bytes(b"damaged")
    assert spool.oldest() is None
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "corrupt")] == [0o700, 0o700]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_what_is_set_aside_takes_20_mib_at_most(tmp_path: Path) -> None:
    """The newest stay."""
    spool = Spool(tmp_path)
    for number in range(4):
        spool.put(batch(f"c-{number}", 8 << 20))
        spool.quarantine(f"c-{number}")
    assert [path.name[13:] for path in sorted((tmp_path / "rejected").iterdir())] == ["c-2.batch", "c-3.batch"]
