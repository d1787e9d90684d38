"""Parses the body of `POST /v1/resolve`: bounded, and each wrong query is named by its place."""

from typing import Any

import orjson

from directory.addresses import address_key
from podsonar.directory_answer import Query
from podsonar.errors import InputError
from podsonar.timestamp import parse_rfc3339

MAX_BODY_BYTES = 4 << 20
MAX_QUERIES = 10_000
MAX_UID_CHARACTERS = 253
MAX_PORT = 65535


def parse_request(content: bytes) -> tuple[list[Query], bool]:
    """Return the queries, and whether each is to be explained; InputError for a malformed body.

    orjson bounds the depth of the document (1024).
    """
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    queries = body.get("queries") if isinstance(body, dict) else None
    if not isinstance(queries, list):
        raise InputError("expected an object with a list `queries`")
    if len(queries) > MAX_QUERIES:
        raise InputError(f"`queries` has {len(queries)} elements, expected at most {MAX_QUERIES}")
    explain = body.get("explain", False)
    if not isinstance(explain, bool):
        raise InputError("`explain` is neither true nor false")
    return [query_of(query, place) for place, query in enumerate(queries)], explain


def query_of(body: Any, place: int) -> Query:  # noqa: ANN401 - any JSON value
    """Return the query at a place of `queries`; InputError names the place."""
    if not isinstance(body, dict):
        raise InputError(f"queries[{place}]: expected an object with podUid, or with address, port, from and to")
    try:
        return by_uid(body["podUid"], body.get("node")) if "podUid" in body else by_address(body)
    except InputError as error:
        raise InputError(f"queries[{place}]: {error}") from error


def by_uid(uid: object, node: object) -> Query:
    """Return the query for a pod by its UID; `node` is the node whose kernel showed it."""
    if not isinstance(uid, str) or not 0 < len(uid) <= MAX_UID_CHARACTERS:
        raise InputError(f"podUid is not a text of 1 to {MAX_UID_CHARACTERS} characters")
    if node is not None and (not isinstance(node, str) or not 0 < len(node) <= MAX_UID_CHARACTERS):
        raise InputError(f"node is not a text of 1 to {MAX_UID_CHARACTERS} characters, or null")
    return Query(pod_uid=uid, node=node)


def by_address(body: dict[str, Any]) -> Query:
    """Return the query for the owner of an address."""
    address, port = body.get("address"), body.get("port")
    if not isinstance(address, str):
        raise InputError("address is not a text, expected podUid, or address with port, from and to")
    if port is not None and (type(port) is not int or not 0 <= port <= MAX_PORT):
        raise InputError(f"port is not a whole number of 0 to {MAX_PORT}, or null")
    begin, end = body.get("from"), body.get("to")
    if not isinstance(begin, str) or not isinstance(end, str):
        raise InputError("from and to are not both RFC 3339 times")
    query = Query(address, port, parse_rfc3339(begin), parse_rfc3339(end))
    if query.from_ns > query.to_ns:
        raise InputError(f"from {begin} is after to {end}")
    address_key(address)
    return query
