"""Encodes captures as gzip of one JSON header line and fixed-width records; equal captures give equal bytes."""

import re
import struct
from pathlib import Path

import msgspec
import orjson
from isal import igzip

from node_agent.capture.files import capture_volumes
from node_agent.capture.files.capture_header import MOST, CaptureHeader, header_of
from node_agent.privileged.bpf_structs import address_text, packed_address
from podsonar.errors import InputError
from podsonar.json_gzip import inflate_within
from podsonar.model import AcceptedFlow, Capture, Flow
from podsonar.private_folder import open_regular

FIRST_LINE = re.compile(rb'\{[^\n]*"format" ?: ?"podsonar-capture"')
MOST_BYTES = 512 << 20  # of an inflated file
MOST_HEADER_BYTES = 8 << 20  # 2,048 paths of cgroups and the pods of a node are a fraction of it
# cgroup, source, destination, port, opened before, pod (index + 1 into `pods`, 0: none), errno, 4 counts, 4 times
FLOW = struct.Struct("<Q16s16sHBxIIQQQQQQQQ")
# cgroup, local and remote address, port, opened before, accepted, 2 times
ACCEPTED = struct.Struct("<Q16s16sHBxxxxxQQQ")


class PodUids(dict[int, str | None]):
    """Pod UIDs by their number in the records, 0 for none; a number that the header has not gets an entry.

    An error raised amid `struct.iter_unpack` leaves a frame that crashes the garbage collector of Python 3.11.
    """

    def __missing__(self, number: int) -> None:
        self[number] = None


class AddressTexts(dict[bytes, str]):
    """Texts of packed addresses, cached: a capture has few addresses and many records."""

    def __missing__(self, packed: bytes) -> str:
        text = self[packed] = address_text(packed)
        return text


def encode(capture: Capture) -> bytes:
    """Return the bytes of a capture file."""
    pods = sorted({flow.pod_uid for flow in capture.flows if flow.pod_uid})
    index = {pod: number for number, pod in enumerate(pods, start=1)}
    flows = [
        FLOW.pack(
            flow.cgroup,
            packed_address(flow.source),
            packed_address(flow.destination),
            flow.port,
            flow.opened_before,
            index.get(flow.pod_uid or "", 0),
            flow.last_errno,
            flow.attempts,
            flow.established,
            flow.failed,
            flow.unfinished,
            flow.first_ns,
            flow.last_ns,
            flow.handshake_sum_ns,
            flow.handshake_max_ns,
        )
        for flow in capture.flows
    ]
    accepted = [
        ACCEPTED.pack(
            entry.cgroup,
            packed_address(entry.local),
            packed_address(entry.remote),
            entry.port,
            entry.opened_before,
            entry.accepted,
            entry.first_ns,
            entry.last_ns,
        )
        for entry in capture.accepted
    ]
    header = orjson.dumps(header_of(capture, pods)) + b"\n"
    content = header + b"".join(flows) + b"".join(accepted) + capture_volumes.encode(capture)
    packed: bytes = igzip.compress(content, 2, mtime=0)
    return packed


def write(path: Path, capture: Capture) -> None:
    """Write a capture file."""
    try:
        path.write_bytes(encode(capture))
    except OSError as error:
        raise InputError(f"capture file {str(path)!r}: {error.strerror}; expected a file to write to") from error


def is_capture(content: bytes) -> bool:
    """Return whether inflated content begins with the header of a capture."""
    return FIRST_LINE.match(content) is not None


def read(path: Path) -> Capture:
    """Return the capture in a file; InputError if it is foreign, truncated or damaged."""
    try:
        with open_regular(path) as file:
            packed = file.read()
    except OSError as error:
        raise InputError(f"capture file {str(path)!r}: {error.strerror}; expected a readable file") from error
    return decode(packed, str(path))


def decode(packed: bytes, name: str) -> Capture:
    """Return the capture in the bytes of a file; `name` is for errors."""
    try:
        content = inflate_within(packed, MOST_BYTES)
    except ValueError as error:
        raise damaged_file(name, f"its {len(packed)} bytes are no whole gzip file ({error})") from error
    return parse(content, name)


def parse(content: bytes, name: str) -> Capture:
    """Return the capture in inflated content; `name` is for errors."""
    whole, end = memoryview(content), content.find(b"\n") + 1
    if end > MOST_HEADER_BYTES:
        raise damaged_file(name, f"its first line has {end} bytes, a header no more than {MOST_HEADER_BYTES}")
    try:
        header = msgspec.json.decode(whole[:end], type=CaptureHeader)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise damaged_file(name, f"its first line is not the header of a capture ({error})") from error
    return from_parts(header, whole[end:], name)


def from_parts(header: CaptureHeader, records: memoryview, name: str) -> Capture:
    """Return the capture with this header and the records after it."""
    flow_bytes, accepted_bytes = header.flows * FLOW.size, header.accepted * ACCEPTED.size
    all_bytes = flow_bytes + accepted_bytes + header.volumes * capture_volumes.VOLUME.size
    if len(records) != all_bytes:
        raise damaged_file(name, f"it holds {len(records)} bytes of records, its header says {all_bytes}")
    for window in filter(None, (header.window, header.observed)):
        if window.end_ns < window.start_ns:
            raise damaged_file(name, f"a window ends at {window.end_ns} and starts at {window.start_ns}")
    pods = PodUids(enumerate([None, *header.pods]))
    flows = flows_of(records[:flow_bytes], pods)
    if len(pods) > 1 + len(header.pods):
        raise damaged_file(name, f"a record names a pod beyond the {len(header.pods)} of the header")
    accepted = accepted_of(records[flow_bytes : flow_bytes + accepted_bytes])
    largest = max((max(flow[4:13]) for flow in flows), default=0)
    largest = max(largest, max((max(entry[4:7]) for entry in accepted), default=0))
    if largest > MOST:
        raise damaged_file(name, f"a record holds the count or time {largest}, at most {MOST} is one")
    if (wrong := capture_volumes.add(records[flow_bytes + accepted_bytes :], flows, accepted)) is not None:
        raise damaged_file(name, wrong)
    return Capture(
        window=header.window.window(),
        node_name=header.node_name,
        tracer=header.tracer,
        identity=header.identity,
        flows=flows,
        accepted=accepted,
        cgroups=dict(header.cgroups),
        lost=header.lost,
        own_pod_uid=header.own_pod_uid,
        own_cgroup=header.own_cgroup,
        accepted_lost=header.accepted_lost,
        outcomes_lost=header.outcomes_lost,
        missed_runs=header.missed_runs,
        opened_left_out=header.opened_left_out,
        opened_not_read=header.opened_not_read,
        incomplete=header.incomplete,
        opened_by=header.opened_by,
        observed=header.observed.window() if header.observed else None,
        gap=header.gap,
        volume_by=header.volume_by,
        volume_lost=header.volume_lost,
        witness=header.witness.witness() if header.witness else None,
    )


def damaged_file(name: str, what: str) -> InputError:
    """Return the error for a file that is not a whole capture."""
    return InputError(f"capture file {name!r}: {what}; expected a whole file written by `podsonar agent capture`")


def flows_of(records: memoryview, pods: PodUids) -> list[Flow]:
    """Return the flows; there may be 100,000, and the constructor of tuple is three times faster than that of Flow.

    `counts` are those from `attempts` to `handshake_max_ns`, in the order of a flow.
    """
    texts, new = AddressTexts(), tuple.__new__
    return [
        new(Flow, (cgroup, texts[source], texts[destination], port, *counts, errno, opened == 1, pods[pod], None))
        for cgroup, source, destination, port, opened, pod, errno, *counts in FLOW.iter_unpack(records)
    ]


def accepted_of(records: memoryview) -> list[AcceptedFlow]:
    """Return the accepted flows."""
    return [
        AcceptedFlow(cgroup, address_text(local), port, address_text(remote), accepted, first, last, opened == 1)
        for cgroup, local, remote, port, opened, accepted, first, last in ACCEPTED.iter_unpack(records)
    ]
