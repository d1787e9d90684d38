"""Ids of 24 hex digits in the form of a BSON ObjectId: seconds, then random bytes. Pure."""

from collections.abc import Callable

from podsonar.timestamp import NS_PER_SECOND


def new_object_id(now_ns: int, random_bytes: Callable[[int], bytes]) -> str:
    """A new id: 4 bytes of seconds, 5 random ones, and a counter of 3 bytes that begins at a random number."""
    seconds = max(0, now_ns) // NS_PER_SECOND & 0xFFFFFFFF
    return f"{seconds:08x}{random_bytes(8).hex()}"


def following_object_id(object_id: str) -> str:
    """The id after this one: its counter is one higher, modulo 2**24."""
    counter = (int(object_id[18:], 16) + 1) & 0xFFFFFF
    return f"{object_id[:18]}{counter:06x}"
