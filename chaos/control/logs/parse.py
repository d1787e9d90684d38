"""Requests of the log service checked: query, lines, blobs. Every refusal is one sentence."""

import re
from typing import Annotated, Any

import msgspec
import orjson
from starlette.exceptions import HTTPException

from podsonar.json_bounds import find_beyond

LINES_PER_REQUEST = 2000
KEY_LENGTH, ACCOUNT_LENGTH = 512, 128
MAX_POS = 2**53
# RFC 3339, section 5.6
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)")

Line = dict[str, Any]


class LineShape(msgspec.Struct, forbid_unknown_fields=True):
    """The members that lines usually have; one with others is looked at by itself."""

    level: str = ""
    out: str = ""
    time: str = ""
    pos: Annotated[int, msgspec.Meta(ge=0, lt=MAX_POS)] = 0
    args: dict[str, str] | None = None


def check_key(key: str) -> str:
    """The key of a stream; 400 unless it is 1 to 512 printable characters without `..`."""
    if not 1 <= len(key) <= KEY_LENGTH or not key.isprintable() or ".." in key:
        raise HTTPException(400, f"key: expected 1 to {KEY_LENGTH} printable characters without '..'")
    return key


def check_account(account: str) -> str:
    """The account; 400 unless it is 1 to 128 printable characters."""
    if not 1 <= len(account) <= ACCOUNT_LENGTH or not account.isprintable():
        raise HTTPException(400, f"accountID: expected 1 to {ACCOUNT_LENGTH} printable characters")
    return account


def read_lines(body: bytes | bytearray) -> list[Line]:
    """The lines of a request; 400 with the place of the first one that is no log line, 413 for too many."""
    try:
        lines = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise HTTPException(400, "body is not JSON, expected an array of log lines") from None
    if lines is None:  # how a Go client writes no lines
        return []
    if not isinstance(lines, list):
        raise HTTPException(400, "body is no JSON array, expected one of log lines")
    if len(lines) > LINES_PER_REQUEST:
        raise HTTPException(413, f"body holds {len(lines)} lines, expected no more than {LINES_PER_REQUEST}")
    if not are_lines(lines):
        for place, line in enumerate(lines):
            if wrong := find_mistake(line):
                raise HTTPException(400, f"line {place}: {wrong}")
    return lines


def are_lines(lines: list[Any]) -> bool:
    """Whether all are as usual, without a mistake; at once: looking at each one takes longer than storing them."""
    try:
        shapes = msgspec.convert(lines, list[LineShape])
    except msgspec.ValidationError:
        return False
    return all(map(TIME.fullmatch, {one.time for one in shapes} - {""}))


def find_mistake(line: Any) -> str:  # noqa: ANN401 - any JSON
    """What is wrong with a log line; an empty text for nothing."""
    if not isinstance(line, dict):
        return "is no JSON object"
    for name in ("level", "out", "time"):
        if not isinstance(line.get(name, ""), str):
            return f"{name} is no text"
    pos = line.get("pos", 0)
    if type(pos) is not int or not 0 <= pos < MAX_POS:
        return f"pos: expected a whole number from 0 to {MAX_POS - 1}"
    if line.get("time") and not TIME.fullmatch(line["time"]):
        return "time: expected RFC 3339 such as 2025-05-01T17:27:56Z"
    args = line.get("args", {})
    if args is None:
        args = {}
    if not isinstance(args, dict) or not all(isinstance(value, str) for value in args.values()):
        return "args: expected an object of texts, or null"
    return find_beyond(line, allows_nul=True)


def read_after_id(text: str) -> int:
    """The number in a Last-Event-ID header; 400 for anything else than a whole number."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise HTTPException(400, "Last-Event-ID: expected the id of an event, a whole number")
    return int(text)
