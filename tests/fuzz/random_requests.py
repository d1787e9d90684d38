"""Random requests: mutations of good ones in every layer, from a seed."""

import gzip
import random
import zlib
from typing import Any

import orjson

from manager.schema.document import operations
from podsonar.schedule import NS_PER_MINUTE
from podsonar.timestamp import parse_rfc3339, rfc3339
from tests.manager.shop import NODE_A, NODE_B, WINDOW_ID, inventory

ODD_VALUES = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 1.5, 1e308),
    *("", "\0", "a" * 300, "x" * 5000, "\ud83d\ude00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "../../x"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": {"c": [1]}}}),
)
ODD_TEXTS = (
    *(
        "",
        "0",
        "-1",
        "1e9",
        "²",
        "٣",
        "%",
        "_",
        "'",
        '"',
        "\\",
        "<script>",
        "\u202e",
        "\x7f",
        "a" * 2000,
        "null",
        "true",
    ),
    *("latest", "previous", WINDOW_ID, "lab", "shop", "9" * 40, "name; select 1", "a,b,c", "{}", "[]", "2026-13-01"),
)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
EXTRA_PATHS = (
    "/agents/{agentIdentity}/map",
    "/agents/{agentIdentity}/windows",
    "/agents/{agentIdentity}/tags/{name}",
    "/agents/{agentIdentity}/changes",
    "/agents/{agentIdentity}/diff",
    "/agents/{agentIdentity}/edges/history",
    "/agents/{agentIdentity}/explain",
    "/agents/{agentIdentity}/graph/nodes",
)
PARAMETERS = (
    *("page", "limit", "all", "search", "sort", "name", "namespace", "window", "correlationID", "accountIdentifier"),
    *("organizationIdentifier", "projectIdentifier", "environmentIdentifier", "a", "b", "since", "baseline", "source"),
    *("destination", "port", "type", "tokenMode", "noInstallation", "networkMapIdentity"),
)


def mutated(value: Any, dice: random.Random) -> Any:
    """A JSON value with one member somewhere replaced, removed, doubled or added."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(list(value))
        copy = dict(value)
        fate = dice.random()
        if fate < 0.1:
            del copy[key]
        elif fate < 0.2:
            copy[str(dice.choice(ODD_TEXTS))] = dice.choice(ODD_VALUES)
        else:
            copy[key] = mutated(value[key], dice)
        return copy
    if isinstance(value, list) and value and dice.random() < 0.9:
        place = dice.randrange(len(value))
        fate = dice.random()
        if fate < 0.1:
            return value[:place] + value[place + 1 :]
        if fate < 0.2:
            return value + value[place : place + 1] * dice.randrange(50)
        return [*value[:place], mutated(value[place], dice), *value[place + 1 :]]
    return dice.choice(ODD_VALUES)


def flipped(raw: bytes, dice: random.Random) -> bytes:
    """Bytes of which some are others, missing or more."""
    copy = bytearray(raw)
    for _ in range(dice.randrange(1, 6)):
        if not copy:
            break
        place, fate = dice.randrange(len(copy)), dice.random()
        if fate < 0.6:
            copy[place] = dice.randrange(256)
        elif fate < 0.8:
            del copy[place : place + dice.randrange(1, 40)]
        else:
            copy[place:place] = dice.randbytes(dice.randrange(1, 40))
    return bytes(copy)


def in_window(body: dict[str, Any], minute: int) -> dict[str, Any]:
    """What was pushed of the shop's window, as of one that begins so many minutes later."""
    window = {name: rfc3339(parse_rfc3339(text) + minute * NS_PER_MINUTE) for name, text in body["window"].items()}
    return {**body, "window": window}


def random_push(token: str, dice: random.Random, minute: int = 0) -> bytes:
    """The bytes of a push, good or spoilt in its values, its JSON, its gzip, its head; its window is so much later."""
    body: Any = in_window(dice.choice((NODE_A, NODE_B, inventory())), minute)
    for _ in range(dice.randrange(4)):
        body = mutated(body, dice)
    try:
        raw = orjson.dumps(body)
    except TypeError:
        raw = b"{}"  # a number that orjson does not write
    if dice.random() < 0.2:
        raw = flipped(raw, dice)
    encoding = dice.choice(("gzip", "gzip", "identity", "deflate", "gzip, gzip", ""))
    sent = gzip.compress(raw, 1) if encoding.startswith("gzip") else raw
    if dice.random() < 0.1:
        sent = flipped(sent, dice)
    if dice.random() < 0.05:
        sent = zlib.compress(raw)
    length = len(sent) if dice.random() < 0.95 else dice.randrange(2 * len(sent) + 1)
    lines = [
        "POST /api/v1/collections HTTP/1.1",
        "Host: m",
        f"Authorization: Token {token}",
        "Content-Type: application/json",
        f"Content-Encoding: {encoding}",
        f"Content-Length: {length}",
        f"Idempotency-Key: f-{dice.randrange(10**9)}",
    ]
    if dice.random() < 0.5:
        sequence = f"sender={dice.randrange(4):016x}, number={dice.randrange(1, 50)}, first={dice.randrange(1, 50)}"
        lines.append(f"Podsonar-Sequence: {sequence}")
    head = "\r\n".join((*lines, "", "")).encode()
    return (flipped(head, dice) if dice.random() < 0.1 else head) + sent


def random_call(dice: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path, parameters and body of a call of the API's operations, or of what stands beside them."""
    operation = dice.choice(operations())
    method, path = operation.method, operation.path
    if dice.random() < 0.25:
        path = dice.choice(EXTRA_PATHS)
        method = "GET"
    if dice.random() < 0.05:
        method = dice.choice(METHODS)
    pieces = []
    for piece in path.split("/"):
        if piece.startswith("{"):
            piece = "lab" if dice.random() < 0.6 else dice.choice(ODD_TEXTS)  # noqa: PLW2901 - the filled piece
        pieces.append(piece)
    query = {dice.choice(PARAMETERS): dice.choice(ODD_TEXTS) for _ in range(dice.randrange(5))}
    prefix = dice.choice(("/api/v1", "/gateway/servicediscovery/api/v1"))
    body: Any = {
        "name": "n",
        "config": {"data": {"cron": {"expression": "0 * * * *"}}},
        "identity": "lab",
        "entities": [],
    }
    for _ in range(dice.randrange(4)):
        body = mutated(body, dice)
    try:
        raw = orjson.dumps(body)
    except TypeError:
        raw = b"[]"
    return method, prefix + "/".join(pieces), query, flipped(raw, dice) if dice.random() < 0.2 else raw
