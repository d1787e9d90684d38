"""Resolves a capture again, with an inventory for a directory: the same bytes on any machine, at any time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from node_agent.attribution import connections_body, flow_log
from node_agent.attribution.flow_groups import directory_queries, group_flows
from node_agent.capture import capture_file
from podsonar.errors import InputError
from podsonar.model import Answer, Capture, Query

Resolver = Callable[[Query], Answer]


def without_inventory(query: Query) -> Answer:
    """Answer a query without an inventory: a pod's UID comes from the kernel, the owner of an address is unknown."""
    if query.pod_uid is not None:
        return Answer("Pod", uid=query.pod_uid)
    return Answer("Unknown", reason="no_inventory")


def inventory_bodies(path: Path) -> list[dict[str, Any]]:
    """Return the inventory bodies in a file with one JSON document per line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"inventory file {str(path)!r}: {error.strerror}; expected a readable file") from error
    bodies = []
    for number, line in enumerate(lines, start=1):
        try:
            body = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"inventory file {str(path)!r} line {number} is not JSON ({error}); "
                "expected the output of `podsonar collector once --output FILE`"
            ) from error
        if not isinstance(body, dict):
            raise InputError(
                f"inventory file {str(path)!r} line {number} is a JSON {type(body).__name__}, "
                "expected an inventory body (an object)"
            )
        bodies.append(body)
    return bodies


@dataclass(frozen=True, slots=True)
class Replay:
    """`content` is the JSON that would be pushed; why the rest is not in it: lines of a log, or each flow's outcome."""

    content: Iterable[bytes]
    skipped_lines: list[flow_log.SkippedLine]
    outcome: connections_body.ResolvedWindow | None

    def lines(self, *, debug: bool) -> Iterator[str]:
        """Return every log line that is left out; with `debug` also every decision on a flow."""
        for line in self.skipped_lines:
            yield f"left out line {line.number}: {line.reason}: {line.text}"
        if debug and self.outcome:
            yield from map(flow_log.decision_line, self.outcome.decisions())


def replay_capture(capture: Capture, resolve: Resolver) -> Replay:
    """The connections body of a capture."""
    traffic = group_flows(capture)
    outcome = connections_body.build_body(traffic, {query: resolve(query) for query in directory_queries(traffic)})
    return Replay(outcome.content(), [], outcome)


def replay(path: Path, resolve: Resolver) -> Replay:
    """Return the connections body of a capture or a log, distinguished by content."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"capture file {str(path)!r}: {error.strerror}; expected a readable file") from error
    if capture_file.is_capture(content):
        return replay_capture(capture_file.decode(content, str(path)), resolve)
    if not flow_log.is_log(content):
        raise InputError(
            f"capture file {str(path)!r}: its {len(content)} bytes are neither gzip nor lines of an agent's log; "
            "expected a file written by `podsonar agent capture`, or such a log"
        )
    body, skipped_lines = flow_log.read_log(content.decode("utf-8", "replace"))
    return Replay([orjson.dumps(body)], skipped_lines, None)
