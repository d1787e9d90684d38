"""Items in groups: few enough for one statement, small enough for memory. Pure."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

KEYS_AT_ONCE = 1000
BYTES_AT_ONCE = 4 << 20

T = TypeVar("T")


def bounded_groups(sized: Iterable[tuple[T, int]], most: int) -> Iterator[list[T]]:
    """The items in order, up to 1,000 in a group, whose sizes add up to at most `most`; a larger one is alone."""
    group: list[T] = []
    total = 0
    for item, size in sized:
        if group and (len(group) == KEYS_AT_ONCE or total + size > most):
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group
