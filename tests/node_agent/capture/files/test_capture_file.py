"""node_agent/capture/files/capture_file.py: what is written is read back; anything else is one sentence."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from isal import igzip

from node_agent.capture.files import capture_file
from podsonar.errors import InputError
from podsonar.model import AcceptedFlow, Purpose, Volume
from tests.node_agent.stages import START_NS, WEB, capture, flow

TAKEN = capture(
    [
        flow(7, "10.96.0.10", 23),
        flow(2**64 - 1, "fd00::1", 2**40, source="fd00::2", port=65535)._replace(last_errno=111, failed=3),
        flow(0, "10.96.0.10", 0)._replace(opened_before=True, pod_uid=WEB, volume=Volume(1, 2, 3, 4, 5, 6, 7, (0, 8))),
    ],
    [
        AcceptedFlow(8, "10.244.0.5", 80, "fd00::3", 7, START_NS, START_NS + 1),
        AcceptedFlow(
            8, "10.244.0.5", 81, "fd00::3", 7, START_NS, START_NS + 1, volume=Volume(2**62, 0, 0, 0, 0, 0, 0, ())
        ),
    ],
    {"flows_full": 3, "unreadable": 1},
)
TAKEN = replace(TAKEN, volume_by="whole", volume_lost={"open_unread": 5})


def test_a_capture_reads_back_equal_and_writes_equal_bytes(tmp_path: Path) -> None:
    """Nothing is lost or changed by the file."""
    path = tmp_path / "a.capture"
    capture_file.write(path, TAKEN)
    assert capture_file.read(path) == TAKEN
    assert capture_file.encode(capture_file.read(path)) == path.read_bytes()


def test_what_an_ordered_window_was_for_is_read_back() -> None:
    """A capture that waits for its directory is still of that run; a header without it is as before."""
    window = TAKEN.window
    for_run = replace(TAKEN, window=replace(window, purpose=Purpose("run-1", "fault")))
    assert capture_file.decode(capture_file.encode(for_run), "a.capture") == for_run
    assert b"purpose" not in igzip.decompress(capture_file.encode(TAKEN))


def test_a_file_cut_anywhere_is_refused_by_name() -> None:
    """No part of a capture passes for a whole one."""
    whole = capture_file.encode(TAKEN)
    for length in range(len(whole)):
        with pytest.raises(InputError, match=r"cut\.capture"):
            capture_file.decode(whole[:length], "cut.capture")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}\n", b"[]\n", b"not json\n", b'{"format":"podsonar-capture","version":2}\n'],
)
def test_a_foreign_gzip_file_is_refused(content: bytes) -> None:
    """A gzip file that is no capture is one sentence, not a traceback."""
    with pytest.raises(InputError, match="expected a whole file"):
        capture_file.decode(igzip.compress(content), "x.gz")


def test_fewer_records_than_the_header_states_are_refused() -> None:
    """Counts in the header must fit the records, and the error has both numbers."""
    content = igzip.decompress(capture_file.encode(TAKEN))  # type: ignore[no-untyped-call]
    with pytest.raises(InputError, match="bytes of records, its header says"):
        capture_file.decode(igzip.compress(content[:-1]), "x")


@pytest.mark.parametrize("key", ["window", "cgroups", "pods", "flows", "lost"])
def test_a_header_without_a_key_is_refused(key: str) -> None:
    """Every part of the header is needed."""
    content = igzip.decompress(capture_file.encode(TAKEN))  # type: ignore[no-untyped-call]
    line, _, records = content.partition(b"\n")
    header = orjson.loads(line)
    del header[key]
    with pytest.raises(InputError, match="expected a whole file"):
        capture_file.decode(igzip.compress(orjson.dumps(header) + b"\n" + records), "x")


def test_order_of_insertion_and_time_of_writing_leave_no_trace() -> None:
    """Equal captures give equal bytes: tables are sorted, and gzip's own time is 0."""
    turned = replace(TAKEN, cgroups=dict(reversed(TAKEN.cgroups.items())), lost=dict(reversed(TAKEN.lost.items())))
    assert capture_file.encode(turned) == capture_file.encode(TAKEN)
    assert capture_file.encode(TAKEN)[4:8] == bytes(4)
