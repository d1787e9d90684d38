"""A spool survives crashes, damage and strangers in its folder."""

from pathlib import Path

import pytest

from delivery.batch import Batch
from delivery.spool import Spool, SpoolLimits
from podsonar.errors import SpoolError


def batch(name: str, kind: str = "connections", size: int = 100) -> Batch:
    """A batch of that id and size."""
    return Batch(name, kind, 1, b"x" * size)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "no_header", "other_header"])
def test_row_51_damaged_file_is_set_aside_and_the_next_is_sent(tmp_path: Path, damage: str) -> None:
    """A bad file goes to corrupt/, is counted, and holds nothing up."""
    lost: list[tuple[str, str]] = []
    spool = Spool(tmp_path, on_dropped=lambda reason, name, _events: lost.append((reason, name)))
    spool.put(batch("c-1"))
    spool.put(batch("c-2"))
    path = spool.paths()[0]
    content = path.read_bytes()
    path.write_bytes(
        {
            "flip": content[:-1] + bytes([content[-1] ^ 1]),
            "truncate": content[:-7],
            "empty": b"",
            "no_header": b"nothing of ours",
            "other_header": b'{"magic": "podsonar-batch", "version": 1}\nx',
        }[damage]
    )
    spool.expire(1)
    found = spool.oldest()
    assert found is not None
    assert found.id == "c-2"
    assert lost == [("corrupt", "c-1")]
    assert len(list((tmp_path / "corrupt").iterdir())) == 1


def test_crash_before_rename_leaves_whole_batches_in_order(tmp_path: Path) -> None:
    """An unfinished file is removed at start; what was put before is there, oldest first (row 39)."""
    first = Spool(tmp_path)
    first.put(batch("c-1"))
    (tmp_path / "000000000002-c-2.tmp").write_bytes(b"half")
    first.close()
    again = Spool(tmp_path)
    again.put(batch("c-3"))
    assert [path.stem for path in again.paths()] == ["000000000001-c-1", "000000000002-c-3"]
    assert not list(tmp_path.glob("*.tmp"))


def test_second_owner_is_refused(tmp_path: Path) -> None:
    """One folder belongs to one process."""
    spool = Spool(tmp_path)
    with pytest.raises(SpoolError, match="another running process"):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path).close()


def test_foreign_files_and_links_are_ignored(tmp_path: Path) -> None:
    """A stranger's file stops nothing and a symbolic link is never followed."""
    (tmp_path / "stranger.batch").write_bytes(b"?")
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "000000000001-c-9.batch").symlink_to(tmp_path / "secret")
    assert Spool(tmp_path).oldest() is None


def test_row_53_full_spool_drops_oldest_connections_first(tmp_path: Path) -> None:
    """An inventory stays while connections can make room."""
    lost: list[tuple[str, str]] = []
    spool = Spool(tmp_path, SpoolLimits(max_files=2), lambda reason, name, _events: lost.append((reason, name)))
    for name in ("i-1", "c-2", "c-3"):
        spool.put(batch(name))
    assert lost == [("full", "c-2")]
    assert [path.stem.split("-", 1)[1] for path in spool.paths()] == ["i-1", "c-3"]


def test_delete_takes_exactly_one_batch(tmp_path: Path) -> None:
    """An id that ends another id does not take that other batch with it."""
    spool = Spool(tmp_path)
    spool.put(batch("x-c-1"))
    spool.put(batch("c-1"))
    spool.delete("c-1")
    assert [path.stem.split("-", 1)[1] for path in spool.paths()] == ["x-c-1"]
