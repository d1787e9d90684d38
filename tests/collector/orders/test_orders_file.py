"""The orders' file: what was ordered outlives a restart, and nothing else is read."""

from pathlib import Path

import pytest

from collector.orders import orders_file
from collector.orders.order_book import OrderBook
from podsonar.model import Purpose, Window
from podsonar.timestamp import NS_PER_SECOND
from podsonar.window_orders import Orders

WINDOWS = tuple(Window(at * NS_PER_SECOND, (at + 10) * NS_PER_SECOND, Purpose("run-1", "fault")) for at in (100, 110))


def test_orders_are_read_as_they_were_written_under_another_revision(tmp_path: Path) -> None:
    """A new process has the same windows; its revision makes every agent look."""
    file = tmp_path / "directory" / "orders"
    before = OrderBook(lambda _start_ns, _end_ns: None, "first", WINDOWS)
    orders_file.write(file, Orders(before.revision, before.windows))
    after = OrderBook(lambda _start_ns, _end_ns: None, "second", orders_file.read(file))
    assert after.windows == WINDOWS
    assert after.revision != before.revision


@pytest.mark.parametrize("content", [b"", b"{}", b'{"revision": "a", "windows": [{}]}', b"\xff", b"[" * 100_000])
def test_file_that_is_something_else_holds_no_orders(tmp_path: Path, content: bytes) -> None:
    """A damaged file ends nothing; agents and whoever ordered see that the orders are gone."""
    (tmp_path / "orders").write_bytes(content)
    assert orders_file.read(tmp_path / "orders") == ()
    assert orders_file.read(tmp_path / "absent") == ()


def test_disk_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """The orders stay in memory."""
    (tmp_path / "file").write_bytes(b"")
    orders_file.write(tmp_path / "file" / "orders", Orders("a", WINDOWS))
    assert (tmp_path / "file").read_bytes() == b""
