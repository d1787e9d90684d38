"""Parses the directory's response: bounded in memory, one value per answer, a malformed answer is rejected alone."""

from typing import Annotated

import httpx
import msgspec

from podsonar.clean_text import clean_text
from podsonar.directory_answer import Answer, Exclusion, OwnerKind
from podsonar.errors import DirectoryUnavailableError

FIXED_BYTES, BYTES_PER_ANSWER = 64 << 10, 2 << 10  # the longest names that Kubernetes allows take 1.6 KiB
COMMAS_PER_ANSWER = 64
MALFORMED = Answer("Unknown", reason="answer_malformed")

Name = Annotated[str, msgspec.Meta(max_length=512)]


class WireWorkload(msgspec.Struct):
    """The root of a pod's owner chain, as the directory sends it."""

    kind: Name
    name: Name
    namespace: Name | None = None
    uid: Name | None = None
    group: Name | None = None


class WireAnswer(msgspec.Struct):
    """One element of `answers`; unknown fields are ignored."""

    kind: OwnerKind
    uid: Name | None = None
    namespace: Name | None = None
    name: Name | None = None
    reason: Name | None = None
    node_name: Name | None = msgspec.field(default=None, name="nodeName")
    host_network: bool | None = msgspec.field(default=None, name="hostNetwork")
    workload: WireWorkload | None = None
    excluded: Exclusion | None = None


class WireAnswers(msgspec.Struct):
    """The response of `POST /v1/resolve`; each answer is decoded by itself."""

    answers: list[msgspec.Raw]


def bounded_body(response: httpx.Response, queries: int) -> bytes:
    """Return the body of a streamed response; DirectoryUnavailableError if it is compressed or too large.

    A compressed body is refused unread: 300 KiB of it can become 300 MiB.
    """
    limit = FIXED_BYTES + BYTES_PER_ANSWER * queries
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise DirectoryUnavailableError(f"directory answered with Content-Encoding {encoding[:40]!r}, expected none")
    parts, size = [], 0
    for part in response.iter_raw(65536):
        size += len(part)
        if size > limit:
            raise DirectoryUnavailableError(
                f"directory answered more than {limit} bytes, expected at most {BYTES_PER_ANSWER} per answer"
            )
        parts.append(part)
    return b"".join(parts)


def parse_answers(content: bytes, queries: int) -> tuple[list[Answer], int]:
    """Return one answer per query, and how many of them were malformed (they are Unknown).

    DirectoryUnavailableError if the content is no list of that many answers, or if none of them is one.
    """
    if content.count(b",") > COMMAS_PER_ANSWER * (queries + 1):
        raise DirectoryUnavailableError("directory answered more values than answers to the queries can have")
    try:
        raw = msgspec.json.decode(content, type=WireAnswers).answers
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DirectoryUnavailableError("directory answered no list of answers") from error
    if len(raw) != queries:
        raise DirectoryUnavailableError(f"directory gave {len(raw)} answers, expected {queries}")
    answers = [parse_answer(element) for element in raw]
    malformed = sum(answer is MALFORMED for answer in answers)
    if queries and malformed == queries:
        raise DirectoryUnavailableError("directory answered no list of answers: every element is malformed")
    return answers, malformed


def parse_answer(element: msgspec.Raw) -> Answer:
    """Return the value of one element; MALFORMED if a field has another type or length than expected."""
    try:
        wire = msgspec.json.decode(element, type=WireAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED
    if wire.kind in ("Pod", "Service") and not wire.uid:
        return MALFORMED  # an owner without a UID identifies no object
    workload = msgspec.to_builtins(wire.workload) if wire.workload else None
    return Answer(
        wire.kind,
        clean(wire.uid),
        clean(wire.namespace),
        clean(wire.name),
        clean(wire.reason),
        node_name=clean(wire.node_name),
        host_network=bool(wire.host_network),
        workload={key: clean_text(value) for key, value in workload.items() if value is not None} if workload else None,
        excluded=wire.excluded,
    )


def clean(text: str | None) -> str | None:
    """Return a text without the characters that no string may hold; None stays None."""
    return None if text is None else clean_text(text)
