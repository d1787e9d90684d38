"""chaos/control/logs/merge.py: every line once and in order, however chunks overlap and however many write."""

from collections.abc import Iterator

import orjson
import pytest

from chaos.control.logs.merge import MOST_OPEN, MOST_WRITERS, blob_lines, merged_lines, union
from manager.store.logs.reads import Chunk

SECOND = 1_000_000_000


class Written:
    """Chunks by their first number, and how many lines of them were read and not yet taken, at most."""

    def __init__(self) -> None:
        self.chunks: dict[int, tuple[Chunk, list[bytes]]] = {}
        self.read = self.taken = self.most = 0

    def write(self, writer: str, positions: list[int], when: int = 1) -> None:
        """One request of a writer."""
        first = sum(len(lines) for _chunk, lines in self.chunks.values()) + 1
        lines = [orjson.dumps({"out": f"{writer}/{pos}", "pos": pos}) for pos in positions]
        chunk = Chunk(first, writer, min(positions), max(positions), when * SECOND)
        self.chunks[first] = (chunk, lines)

    def open(self, first: int) -> list[bytes]:
        """The lines of a chunk."""
        lines = self.chunks[first][1]
        self.read += len(lines)
        self.most = max(self.most, self.read - self.taken)
        return lines

    def merged(self) -> Iterator[str]:
        """The texts of all lines."""
        for line in merged_lines([chunk for chunk, _lines in self.chunks.values()], self.open):
            self.taken += 1
            yield str(orjson.loads(line)["out"])


def test_lines_of_one_position_are_read_one_chunk_after_the_other() -> None:
    """As programs write that do not number their lines."""
    written = Written()
    for _ in range(200):
        written.write("w", [0] * 500)
    assert len(list(written.merged())) == 100_000
    assert written.most <= 1000


def test_chunks_that_overlap_without_end_take_bounded_memory() -> None:
    """Each begins early and ends late: the order of positions ends where the bound does, and no line is lost."""
    written = Written()
    for number in range(300):
        written.write("w", [number, *range(1_000_000, 1_000_999)])
    found = list(written.merged())
    assert (len(found), written.most <= MOST_OPEN + 2000) == (300_000, True)
    assert found[:40] == [f"w/{number}" for number in range(40)]


def test_many_writers_take_bounded_memory() -> None:
    """Those beyond a number are read as one: a line of each must be known to choose the next."""
    written = Written()
    for number in range(2000):
        written.write(f"w{number}", list(range(1, 101)), when=number)
    found = list(written.merged())
    assert len(found) == len(set(found)) == 200_000
    assert written.most <= MOST_OPEN + MOST_WRITERS * 100


def test_shuffled_requests_of_a_writer_are_in_order() -> None:
    """Within the bound positions decide."""
    written = Written()
    for start in (201, 1, 401, 101, 301):
        written.write("w", list(range(start, start + 100)))
    assert list(written.merged()) == [f"w/{pos}" for pos in range(1, 501)]


def lines(*texts: str) -> bytes:
    """A blob."""
    return b"\n".join(orjson.dumps({"out": text}) for text in texts)


@pytest.mark.parametrize(
    ("streamed", "blobs", "expected"),
    [
        ("ab", ["ab"], "ab"),
        ("a", ["ab", "bc"], "abc"),
        ("", ["aab"], "aab"),
        ("a", ["aab"], "aab"),
        ("aa", ["a"], "aa"),
        ("a", ["b", "b", "bb"], "abb"),
        ("", ["abc", "cba"], "abc"),
    ],
)
def test_line_that_was_streamed_and_uploaded_is_there_once(streamed: str, blobs: list[str], expected: str) -> None:
    """As often as in that of the sources that has it most often."""
    sent = [orjson.dumps({"out": text}) for text in streamed]
    found = union(lambda: iter(sent), [(place * SECOND, lines(*text)) for place, text in enumerate(blobs, 1)])
    assert sorted(orjson.loads(line)["out"] for line in found) == sorted(expected)


@pytest.mark.parametrize("blank", [b" " * 2_000_000, b"\n" * 500_000, b" \n" * 300_000, b""])
def test_blank_lines_of_a_blob_are_none(blank: bytes) -> None:
    """In the time that its bytes take."""
    assert list(blob_lines(blank + b"\n" + lines("a") + b"\n" + blank, SECOND)) == [b'{"out":"a"}']
