"""What container runtimes, kubectl, journald and collectors of logs put around a line, one pattern per format."""

import re
from typing import NamedTuple

import orjson

MOST_ENVELOPES = 4
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
# Each has a group `text`, and `stream` if it names where the line comes from.
ENVELOPES = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"{MOMENT} (?:stdout|stderr) F (?P<text>.*)",  # CRI: /var/log/pods
        r"\[(?P<stream>pod/[^\]\s]+)\] (?P<text>.*)",  # kubectl logs --prefix
        r"<\d{1,3}>1 \S+ (?P<stream>\S+) \S+ \S+ \S+ (?:-|\[[^\]]*\]) (?P<text>.*)",  # RFC 5424
        rf"{MOMENT} (?P<stream>\S+) [\w.@/-]+\[\d+\]: (?P<text>.*)",  # journalctl -o short-iso
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? (?P<stream>\S+) [\w.@/-]+(?:\[\d+\])?: (?P<text>.*)",  # short
        rf"{MOMENT} (?P<text>.*)",  # kubectl logs --timestamps, docker logs --timestamps
        r"(?P<stream>[\w.-]+) +\| (?P<text>.*)",  # docker compose logs
    )
)
# The member of a JSON line that holds the text: the agent's own log, docker's json-file, journalctl -o json, others.
TEXT_MEMBERS = ("line", "log", "MESSAGE", "message")
STREAM_MEMBERS = ("_HOSTNAME", "hostname", "stream_name")


class Unwrapped(NamedTuple):
    """The text of a line, and where it comes from as far as its envelopes tell."""

    stream: str
    text: str


def unwrap(written: str) -> Unwrapped:
    """Return the text within the envelopes of a line."""
    stream, text = "", COLOUR.sub("", written).strip()
    for _ in range(MOST_ENVELOPES):
        found = from_json(text) if text.startswith("{") else from_prefix(text)
        if found is None:
            break
        stream, text = f"{stream} {found.stream}".strip(), found.text.strip()
    return Unwrapped(stream, text)


def from_prefix(text: str) -> Unwrapped | None:
    """Return what is behind a prefix; None if there is none that is known."""
    for envelope in ENVELOPES:
        if match := envelope.fullmatch(text):
            return Unwrapped(match.groupdict().get("stream", ""), match["text"])
    return None


def from_json(text: str) -> Unwrapped | None:
    """Return the text in a JSON object; None if it is none, or holds none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    inner = next((value[name] for name in TEXT_MEMBERS if isinstance(value.get(name), str)), None)
    if inner is None:
        return None
    stream = next((value[name] for name in STREAM_MEMBERS if isinstance(value.get(name), str)), "")
    return Unwrapped(stream, inner)
