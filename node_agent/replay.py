"""Resolves a capture again, with an inventory for a directory: the same bytes on any machine, at any time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from node_agent.attribution import flow_log
from node_agent.attribution.body import connections_body
from node_agent.attribution.flow_groups import directory_queries, group_flows
from node_agent.capture.files import capture_file
from podsonar.directory_answer import Answer, Query
from podsonar.errors import InputError
from podsonar.input_file import read_input
from podsonar.model import Capture

MOST_BYTES = 32 << 20
EXPECTED = "a file written by `podsonar agent capture`, or the debug log of an agent, of at most 32 MiB"
Resolver = Callable[[Query], Answer]


def without_inventory(query: Query) -> Answer:
    """Answer a query without an inventory: a pod's UID comes from the kernel, the owner of an address is unknown."""
    if query.pod_uid is not None:
        return Answer("Pod", uid=query.pod_uid)
    return Answer("Unknown", reason="no_inventory")


@dataclass(frozen=True, slots=True)
class Replay:
    """`bodies` are the JSON that would be pushed, one per node; the rest says why something is not in it.

    That are lines of a log, each flow's outcome, and sentences about the input as a whole.
    """

    bodies: list[Iterable[bytes]]
    skipped_lines: list[flow_log.SkippedLine] = field(default_factory=list)
    outcome: connections_body.ResolvedWindow | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def content(self) -> Iterator[bytes]:
        """The bodies, one per line."""
        for number, body in enumerate(self.bodies):
            yield from body if number == 0 else chain((b"\n",), body)

    def lines(self, *, debug: bool) -> Iterator[str]:
        """Return every log line that is left out and their counts by reason; with `debug` every decision on a flow."""
        yield from self.notes
        for line in self.skipped_lines:
            yield f"left out line {line.number}: {line.reason}: {line.text}"
        for reason, count in sorted(Counter(line.reason for line in self.skipped_lines).items()):
            yield f"left out of the log: {count} {reason}"
        if debug and self.outcome:
            yield from map(flow_log.decision_line, self.outcome.decisions())


def replay_capture(capture: Capture, resolve: Resolver) -> Replay:
    """Return the connections body of a capture."""
    traffic = group_flows(capture)
    answers = {query: resolve(query) for query in directory_queries(traffic)}
    outcome = connections_body.build_body(traffic, answers)
    notes = [outcome.node_name_mismatch] if outcome.node_name_mismatch else []
    return Replay([outcome.content()], outcome=outcome, notes=notes)


def replay(path: Path, resolve: Resolver) -> Replay:
    """Return the connections bodies of a capture or a log, distinguished by content."""
    content = read_input(path, "capture file", MOST_BYTES, EXPECTED)
    if capture_file.is_capture(content):
        return replay_capture(capture_file.parse(content, str(path)), resolve)
    nodes, skipped_lines = flow_log.read_log(content.decode("utf-8", "replace"))
    if not flow_log.is_log(nodes):
        raise InputError(
            f"capture file {str(path)!r}: its {len(content)} bytes are neither a capture nor lines of an agent's log; "
            f"expected {EXPECTED}"
        )
    return Replay([node.content() for node in nodes], skipped_lines)
