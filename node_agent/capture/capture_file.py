"""Encodes captures as gzip of one JSON header line and fixed-width records; equal captures give equal bytes."""

import struct
from pathlib import Path
from typing import Any

import orjson
from isal import igzip, isal_zlib

from node_agent.privileged.bpf_structs import address_text, packed_address
from podsonar.errors import InputError
from podsonar.model import AcceptedFlow, Capture, Flow, Window

FORMAT, VERSION = "podsonar-capture", 2
READABLE = (1, 2)  # version 1 has no accepted flows from before the window
# cgroup, source, destination, port, opened before, pod (index + 1 into `pods`, 0: none), errno, 4 counts, 4 times
FLOW = struct.Struct("<Q16s16sHBxIIQQQQQQQQ")
# cgroup, local and remote address, port, opened before, accepted, 2 times
ACCEPTED = struct.Struct("<Q16s16sHBxxxxxQQQ")


class AddressTexts(dict[bytes, str]):
    """Texts of packed addresses, cached: a capture has few addresses and many records."""

    def __missing__(self, packed: bytes) -> str:
        text = self[packed] = address_text(packed)
        return text


def window_times(window: Window) -> dict[str, int]:
    """Return a window in the form of the header."""
    return {"startNs": window.start_ns, "endNs": window.end_ns}


def window_of(header: dict[str, Any]) -> Window:
    """Return the window of the header's times."""
    return Window(int(header["startNs"]), int(header["endNs"]))


def header_of(capture: Capture, pods: list[str]) -> dict[str, Any]:
    """Return the header: everything but the records."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "window": window_times(capture.window),
        "nodeName": capture.node_name,
        "tracer": capture.tracer,
        "identity": capture.identity,
        "ownPodUid": capture.own_pod_uid,
        "lost": dict(sorted(capture.lost.items())),
        "acceptedLost": dict(sorted(capture.accepted_lost.items())),
        "outcomesLost": dict(sorted(capture.outcomes_lost.items())),
        "missedRuns": capture.missed_runs,
        "openedLeftOut": dict(sorted(capture.opened_left_out.items())),
        "openedBy": capture.opened_by,
        "observed": window_times(capture.observed) if capture.observed else None,
        "gap": capture.gap,
        "cgroups": [[cgroup, list(names)] for cgroup, names in sorted(capture.cgroups.items())],
        "pods": pods,
        "flows": len(capture.flows),
        "accepted": len(capture.accepted),
    }


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
    content = orjson.dumps(header_of(capture, pods)) + b"\n" + b"".join(flows) + b"".join(accepted)
    packed: bytes = igzip.compress(content, 2, mtime=0)
    return packed


def write(path: Path, capture: Capture) -> None:
    """Write a capture file."""
    try:
        path.write_bytes(encode(capture))
    except OSError as error:
        raise InputError(f"capture file {str(path)!r}: {error.strerror}; expected a file to write to") from error


def is_capture(content: bytes) -> bool:
    """Return whether the content begins with the gzip magic number."""
    return content[:2] == b"\x1f\x8b"


def read(path: Path) -> Capture:
    """Return the capture in a file; InputError if it is foreign, truncated or damaged."""
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise InputError(f"capture file {str(path)!r}: {error.strerror}; expected a readable file") from error
    return decode(packed, str(path))


def decode(packed: bytes, name: str) -> Capture:
    """Return the capture in the bytes of a file; `name` is for errors."""
    try:
        content: bytes = igzip.decompress(packed)  # type: ignore[no-untyped-call]
    except (EOFError, OSError, isal_zlib.error) as error:  # type: ignore[misc]
        raise damaged_file(name, f"its {len(packed)} bytes are no whole gzip file ({error})") from error
    line = content[: content.find(b"\n") + 1]
    try:
        return from_parts(orjson.loads(line), memoryview(content)[len(line) :], name)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise damaged_file(name, "its first line is not the header of a capture") from error


def from_parts(header: dict[str, Any], records: memoryview, name: str) -> Capture:
    """Return the capture with this header and the records after it."""
    if header["format"] != FORMAT or header["version"] not in READABLE:
        raise damaged_file(name, f"format {header['format']!r} version {header['version']!r}")
    flow_bytes, accepted_bytes = header["flows"] * FLOW.size, header["accepted"] * ACCEPTED.size
    if len(records) != flow_bytes + accepted_bytes:
        raise damaged_file(
            name, f"it holds {len(records)} bytes of records, its header says {flow_bytes + accepted_bytes}"
        )
    return Capture(
        window=window_of(header["window"]),
        node_name=header["nodeName"],
        tracer=header["tracer"],
        identity=header["identity"],
        flows=flows_of(records[:flow_bytes], [None, *header["pods"]]),
        accepted=accepted_of(records[flow_bytes:]),
        cgroups={cgroup: tuple(names) for cgroup, names in header["cgroups"]},
        lost=header["lost"],
        own_pod_uid=header["ownPodUid"],
        accepted_lost=header.get("acceptedLost", {}),
        outcomes_lost=header.get("outcomesLost", {}),
        missed_runs=int(header.get("missedRuns", 0)),
        opened_left_out=header.get("openedLeftOut", {}),
        opened_by=header.get("openedBy", "procfs"),
        observed=window_of(header["observed"]) if header.get("observed") else None,
        gap=header.get("gap"),
    )


def damaged_file(name: str, what: str) -> InputError:
    """Return the error for a file that is not a whole capture."""
    return InputError(f"capture file {name!r}: {what}; expected a whole file written by `podsonar agent capture`")


def flows_of(records: memoryview, pods: list[str | None]) -> list[Flow]:
    """Return the flows; there may be 100,000, and the constructor of tuple is three times faster than that of Flow.

    `counts` are those from `attempts` to `handshake_max_ns`, in the order of a flow.
    """
    texts, new = AddressTexts(), tuple.__new__
    return [
        new(Flow, (cgroup, texts[source], texts[destination], port, *counts, errno, opened == 1, pods[pod]))
        for cgroup, source, destination, port, opened, pod, errno, *counts in FLOW.iter_unpack(records)
    ]


def accepted_of(records: memoryview) -> list[AcceptedFlow]:
    """Return the accepted flows."""
    return [
        AcceptedFlow(cgroup, address_text(local), port, address_text(remote), accepted, first, last, opened == 1)
        for cgroup, local, remote, port, opened, accepted, first, last in ACCEPTED.iter_unpack(records)
    ]
