"""A watch is lines, however its bytes are cut; a line that does not end is an error."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster_api import watch_stream
from cluster_api.watch_stream import WatchStream
from podsonar.errors import ApiServerError


class Chunks:
    """A response that gives these chunks and then its end; it has no socket."""

    connection = None

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.closed = chunks, False

    def read1(self) -> bytes:
        """The next chunk."""
        return next(self.chunks, b"")

    def close(self) -> None:
        """The reader is done."""
        self.closed = True


def lines(chunks: Iterator[bytes]) -> list[bytes]:
    """The lines of a watch of these chunks."""
    response: Any = Chunks(chunks)
    found = list(WatchStream(response, "/api/v1/pods").lines())
    assert response.closed
    return found


@given(st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b"")), max_size=6), st.integers(1, 9))
def test_lines_come_as_they_are_however_the_bytes_are_cut(expected: list[bytes], size: int) -> None:
    """Every line that ended is given once; what stands behind the last end is none."""
    body = b"".join(line + b"\n" for line in expected) + b"unfinished"
    assert lines(body[at : at + size] for at in range(0, len(body), size)) == expected


def test_line_that_comes_byte_by_byte_is_joined_once() -> None:
    """A line of 2 MiB in two million chunks: joined with each of them it would take minutes."""
    assert lines(iter([b"x"] * (2 << 20) + [b"\n"])) == [b"x" * (2 << 20)]


def test_line_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never ends a line takes no memory without a bound."""
    monkeypatch.setattr(watch_stream, "LONGEST_LINE_BYTES", 100)
    with pytest.raises(ApiServerError, match="more than 100 bytes"):
        lines(iter([b"x" * 60] * 3))
