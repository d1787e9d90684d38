"""What a JSON value may hold that is stored, and stands inside other JSON afterwards: the least that every reader can.

JSON has no bounds of its own (RFC 8259, 9); parsers differ. orjson reads 1,024 levels and writes 254, msgspec reads
whole numbers of any size and orjson writes 64 bits, PostgreSQL stores no NUL.
"""

from typing import Any

MOST_LEVELS = 64
LEAST_WHOLE, MOST_WHOLE = -(1 << 63), (1 << 64) - 1


def find_beyond(value: Any, *, allows_nul: bool = False) -> str:  # noqa: ANN401 - any JSON
    """What of a value is beyond the bounds, with what was expected; empty for nothing.

    `allows_nul`: the value is kept as bytes, and none of its texts stands in a column of its own.
    """
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        one, level = waiting.pop()
        if isinstance(one, str):
            if not allows_nul and "\0" in one:
                return "NUL character, expected text without it"
        elif isinstance(one, dict | list):
            if level > MOST_LEVELS:
                return f"nests too deep, expected at most {MOST_LEVELS} levels"
            if isinstance(one, dict):
                waiting += ((name, level) for name in one)
            waiting += ((inner, level + 1) for inner in (one.values() if isinstance(one, dict) else one))
        elif isinstance(one, int) and not LEAST_WHOLE <= one <= MOST_WHOLE:
            return f"number {str(one)[:40]}, expected a whole number of 64 bits"
    return ""


def is_shallow(raw: bytes) -> bool:
    """Whether a JSON text cannot nest too deep, as its brackets alone say: what can is looked at by `find_beyond`."""
    return raw.count(b"[") + raw.count(b"{") <= MOST_LEVELS
