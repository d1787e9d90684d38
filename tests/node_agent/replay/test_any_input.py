"""What `podsonar replay` is given comes from anywhere: each format is read strictly, what does not fit is named."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.replay import replay as command
from node_agent.attribution.log_envelopes import unwrap
from node_agent.capture.files import capture_file
from node_agent.replay import MOST_BYTES
from podsonar.errors import InputError, PodsonarError, SettingsError
from podsonar.json_gzip import deflated, inflate_within
from tests.node_agent.stages import WEB, capture, flow

LINE = f"connection 10.1.1.2 -> 10.1.1.3:8080 from pod {{{WEB}}} to svc {{}} or pod {{}} added to the list"
POD = {
    "kind": "Pod",
    "metadata": {
        "uid": WEB,
        "name": "web-1",
        "namespace": "shop",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "rs-1", "controller": True}],
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {"nodeName": "node-a"},
    "status": {"phase": "Running", "podIP": "10.244.0.5", "startTime": "2020-01-01T00:00:00Z"},
}
SERVICE = {
    "kind": "Service",
    "metadata": {"uid": "svc-1", "name": "orders", "namespace": "shop", "creationTimestamp": "2020-01-01T00:00:00Z"},
    "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 8080}]},
}
NODE = {
    "kind": "Node",
    "metadata": {"uid": "node-uid", "name": "node-a", "creationTimestamp": "2020-01-01T00:00:00Z"},
    "spec": {"podCIDR": "10.244.0.0/24"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]},
}
KUBECTL = {"apiVersion": "v1", "kind": "List", "items": [POD, SERVICE, {"kind": "ConfigMap", "metadata": {}}]}
BODY = {"podList": [POD], "serviceList": [SERVICE]}


def run(*words: object) -> Result:
    """The command's result; an error that is not one of ours is raised here."""
    result = CliRunner().invoke(command, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, PodsonarError | SystemExit):
        raise result.exception
    return result


def bodies_of(result: Result) -> list[dict[str, Any]]:
    """The bodies that were printed, one per line."""
    assert result.exception is None, result.exception
    return [orjson.loads(line) for line in result.stdout.splitlines()]


def replayed_log(folder: Path, content: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The bodies of a log, and what is printed of its lines."""
    (folder / "agent.log").write_bytes(content)
    result = run(folder / "agent.log")
    return bodies_of(result), result.stderr.splitlines()


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A capture of one flow from pod `web-1` to the service's address."""
    capture_file.write(tmp_path / "a.capture", capture([flow(7, "10.96.0.10", 23)]))
    return tmp_path / "a.capture"


def pretty(value: object) -> bytes:
    """JSON as kubectl prints it."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        orjson.dumps(BODY) + b"\n",
        pretty(BODY),
        b"\xef\xbb\xbf" + orjson.dumps(BODY) + b"\n",
        orjson.dumps(BODY) + b"\r\n",
        pretty(BODY).decode().encode("utf-16"),
        gzip.compress(orjson.dumps(BODY)),
        orjson.dumps(KUBECTL),
        pretty(KUBECTL),
        pretty({"kind": "PodList", "items": [POD]}) + pretty({"kind": "ServiceList", "items": [SERVICE]}),
        pretty(POD) + pretty(SERVICE),
        orjson.dumps({"kind": "PodList", "items": [{**POD, "kind": "Pod"}]}) + b"\n" + orjson.dumps(SERVICE),
        b"\n\n" + pretty(BODY),
        b'{\n"podList":\n[\n' + orjson.dumps(POD) + b'\n],\n"serviceList":\n[\n' + orjson.dumps(SERVICE) + b"\n]\n}\n",
    ],
)
def test_inventory_in_every_form_that_people_have(tmp_path: Path, taken: Path, content: bytes) -> None:
    """Lines, pretty-printed, of kubectl, of PowerShell, compressed, with a byte order mark: the same answer."""
    (tmp_path / "inventory").write_bytes(content)
    (body,) = bodies_of(run(taken, "--inventory", tmp_path / "inventory"))
    (connection,) = body["connectionList"]
    assert connection["kubernetes"]["sourcePod"]["name"] == "web-1"
    assert connection["kubernetes"]["destinationService"]["name"] == "orders"


def test_objects_that_do_not_fit_are_counted_by_kind(tmp_path: Path, taken: Path) -> None:
    """What is not used and what has no identity is named, and the rest counts."""
    odd = {"kind": "Pod", "metadata": {"name": "no-uid"}}
    content = {**KUBECTL, "items": [*KUBECTL["items"], odd, 7, {"kind": 5}]}  # type: ignore[misc]
    (tmp_path / "inventory").write_bytes(orjson.dumps(content))
    result = run(taken, "--inventory", tmp_path / "inventory")
    assert result.stderr.splitlines() == [
        "left out of the inventory: 1 ConfigMap",
        "left out of the inventory: 2 object without a kind",
        "left out of the inventory: 1 Pod: no_uid",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing"),
        (b"{}\n[]\n", "line 2 is a JSON list"),
        (b'{"podList": []}\n{"kind": "Table", "rows": []}\n', "line 2 has the members 'kind, rows'"),
        (pretty(BODY) + b"{broken\n", "is not JSON"),
        (b"hello\n", "line 1 is not JSON"),
        (b"[" * 100_000, "line 1"),
        (b'{"a":' * 100_000, "line 1"),
        (orjson.dumps({"kind": "PodList", "items": [POD], "metadata": {"continue": "x"}}), "is one page of a PodList"),
        (orjson.dumps({"kind": "List", "items": {"a": 1}}), "is not JSON of an inventory"),
        (b'{"podList": "\xff"}', "is not JSON of an inventory"),
        (gzip.compress(b"{}", mtime=0)[:-3], "cut short"),
        (deflated(b" " * (1 << 20) for _ in range(100)), "holds more than"),
    ],
)
def test_what_is_no_inventory_is_one_sentence(tmp_path: Path, taken: Path, content: bytes, words: str) -> None:
    """The file, the line, and what was expected."""
    (tmp_path / "inventory").write_bytes(content)
    result = run(taken, "--inventory", tmp_path / "inventory")
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)
    assert "expected" in str(result.exception)


@pytest.mark.parametrize(
    "written",
    [
        LINE,
        LINE + "\r",
        f"2026-11-24T10:00:00.000000001Z stderr F {LINE}",
        f"2026-11-24T10:00:00.123+02:00 stdout F {LINE}",
        f"2026-11-24T10:00:00.000000001Z {LINE}",
        f"[pod/podsonar-agent-x7k/agent] {LINE}",
        f"[pod/podsonar-agent-x7k/agent] 2026-11-24T10:00:00Z {LINE}",
        orjson.dumps({"log": LINE + "\n", "stream": "stderr", "time": "2026-11-24T10:00:00Z"}).decode(),
        orjson.dumps({"line": LINE, "event": "flow", "level": "debug"}).decode(),
        "2026-11-24T10:00:00.1Z stderr F " + orjson.dumps({"line": LINE, "event": "flow"}).decode(),
        orjson.dumps({"log": orjson.dumps({"line": LINE}).decode() + "\n"}).decode(),
        orjson.dumps({"MESSAGE": LINE, "_HOSTNAME": "node-a", "PRIORITY": "6"}).decode(),
        f"Nov 24 10:00:00 node-a podsonar[123]: {LINE}",
        f"Nov  4 10:00:00.123456 node-a podsonar[123]: {LINE}",
        f"2026-11-24T10:00:00+0000 node-a podsonar[123]: {LINE}",
        f"<30>1 2026-11-24T10:00:00Z node-a podsonar 123 - - {LINE}",
        f"agent-1  | {LINE}",
        f"\x1b[36magent-1  | \x1b[0m{LINE}",
        f"\ufeff{LINE}",
    ],
)
def test_line_in_every_envelope_is_its_connection(tmp_path: Path, written: str) -> None:
    """Runtimes, kubectl, docker, journald, the agent's own JSON log, and envelopes in envelopes."""
    (body,), left_out = replayed_log(tmp_path, written.encode() + b"\n")
    assert left_out == []
    (connection,) = body["connectionList"]
    assert (connection["sourceIP"], connection["destinationIP"]) == ("10.1.1.2", "10.1.1.3")
    assert (connection["destinationPort"], connection["kubernetes"]["sourcePod"]["uid"]) == ("8080", WEB)


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("fd00::2", "[fd00::3]:8080", ("fd00::2", "fd00::3", "8080")),
        ("fd00:0:0::2", "fd00:0::3:8080", ("fd00::2", "fd00::3", "8080")),
        ("::ffff:10.1.1.2", "::ffff:10.1.1.3:80", ("10.1.1.2", "10.1.1.3", "80")),
        ("[::FFFF:a01:102]", "[FD00::3]:0080", ("10.1.1.2", "fd00::3", "80")),
        ("10.1.1.2", "10.1.1.3:65535", ("10.1.1.2", "10.1.1.3", "65535")),
    ],
)
def test_addresses_are_canonical(tmp_path: Path, source: str, destination: str, expected: tuple[str, str, str]) -> None:
    """As `ipaddress` writes them: without brackets, and IPv4 where it was mapped."""
    line = LINE.replace("10.1.1.2", source).replace("10.1.1.3:8080", destination)
    (body,), _left_out = replayed_log(tmp_path, line.encode())
    (connection,) = body["connectionList"]
    assert (connection["sourceIP"], connection["destinationIP"], connection["destinationPort"]) == expected


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("8080", "99999999999999999999", "bad_port"),
        ("8080", "0", "bad_port"),
        ("8080", "65536", "bad_port"),
        ("10.1.1.3", "10.1.1.300", "bad_address"),
        ("10.1.1.2", "010.1.1.2", "bad_address"),
        ("10.1.1.2", "fe80::1%eth0", "bad_address"),
        ("10.1.1.2", "-", "bad_address"),
        (f"from pod {{{WEB}}}", "from pod {}", "no_source_pod"),
        (f"from pod {{{WEB}}}", "from pod { }", "no_source_pod"),
        ("svc {}", "svc {a b}", "bad_uid"),
        (WEB, "x" * 300, "bad_uid"),
        ("8080", "٨٠", "not_a_connection_line"),
    ],
)
def test_line_that_does_not_fit_is_named_and_counted(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """The line is printed with its reason, delivered is what is whole, and attempts add up."""
    (body,), left_out = replayed_log(tmp_path, f"{LINE}\n{LINE.replace(old, new)}\n".encode())
    assert [line.split(": ")[:2] for line in left_out] == [
        ["left out line 2", reason],
        ["left out of the log", f"1 {reason}"],
    ]
    invalid = {} if reason == "not_a_connection_line" else {reason: 1}
    assert body["observation"]["lost"] == invalid
    assert (body["observation"]["attempts"], body["observation"]["delivered"]) == (1 + len(invalid), 1)


def test_lines_that_are_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    """The counts come after the lines, one per reason."""
    bad_port, no_pod = LINE.replace("8080", "0"), LINE.replace(f"from pod {{{WEB}}}", "from pod {}")
    _bodies, left_out = replayed_log(tmp_path, f"{LINE}\n{no_pod}\n{bad_port}\n{no_pod}\n".encode())
    assert left_out[3:] == ["left out of the log: 1 bad_port", "left out of the log: 2 no_source_pod"]


@pytest.mark.parametrize(
    ("address", "options", "kind"),
    [
        ("10.99.0.1", [], "Unknown"),
        ("10.99.0.1", ["--external-range", "10.99.0.0/16"], "External"),
        ("10.99.0.1", ["--external-range", "10.99.0.0/16", "--cluster-range", "10.99.0.0/24"], "Unknown"),
        ("203.0.114.7", [], "External"),
        ("203.0.114.7", ["--cluster-range", "10.8.0.0/16", "--cluster-range", "203.0.114.0/24"], "Unknown"),
        ("fd00:99::1", ["--external-range", "fd00:99::/32"], "External"),
    ],
)
def test_ranges_of_the_options_decide_as_the_settings_do(
    tmp_path: Path, address: str, options: list[str], kind: str
) -> None:
    """A private address is outside only if a range says so, a public one is the cluster's if another one does."""
    (tmp_path / "inventory").write_bytes(orjson.dumps({**KUBECTL, "items": [POD, SERVICE, NODE]}))
    capture_file.write(tmp_path / "a.capture", capture([flow(7, address, 23)]))
    (body,) = bodies_of(run(tmp_path / "a.capture", "--inventory", tmp_path / "inventory", *options))
    (connection,) = body["connectionList"]
    assert connection["destination"]["kind"] == kind


@pytest.mark.parametrize("option", ["--cluster-range", "--external-range"])
@pytest.mark.parametrize("text", ["10.0.0.0/33", "shop", "", "10.0.0.0/8,10.1.0.0/16"])
def test_range_that_is_none_is_one_sentence(taken: Path, option: str, text: str) -> None:
    """The option and the value are named."""
    result = run(taken, option, text)
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception) == f"option {option} has {text!r}, expected ranges such as 203.0.113.0/24"


def test_each_node_has_its_own_body(tmp_path: Path) -> None:
    """Logs behind each other, and logs whose lines alternate under kubectl's prefixes."""
    named = "pushed 1 connections for node name "
    behind = f"{LINE}\n{named}node-a\n{LINE}\n{LINE}\n{named}node-b\n"
    bodies, _left_out = replayed_log(tmp_path, behind.encode())
    assert [(body["nodeName"], len(body["connectionList"])) for body in bodies] == [("node-a", 1), ("node-b", 2)]
    turns = [f"[pod/a/agent] {LINE}", f"[pod/b/agent] {LINE}", f"[pod/b/agent] {LINE}"]
    turns += [f"[pod/b/agent] {named}node-b", f"[pod/a/agent] {named}node-a", f"[pod/a/agent] {LINE}"]
    bodies, _left_out = replayed_log(tmp_path, "\n".join(turns).encode())
    assert sorted((body["nodeName"], len(body["connectionList"])) for body in bodies) == [("node-a", 2), ("node-b", 2)]


def test_output_that_is_an_input_is_refused_and_nothing_is_destroyed(tmp_path: Path, taken: Path) -> None:
    """Under its name, by a link of either kind, and for the inventory, too."""
    inventory = tmp_path / "inventory"
    inventory.write_bytes(orjson.dumps(BODY))
    before = taken.read_bytes(), inventory.read_bytes()
    (tmp_path / "soft").symlink_to(taken)
    os.link(taken, tmp_path / "hard")
    for output in (taken, tmp_path / "soft", tmp_path / "hard", inventory):
        result = run(taken, "--inventory", inventory, "--output", output)
        assert isinstance(result.exception, InputError), output
    assert (taken.read_bytes(), inventory.read_bytes()) == before


def test_failed_replay_keeps_the_old_output(tmp_path: Path) -> None:
    """The output is whole or as it was before."""
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "bad").write_bytes(b"neither\n")
    assert isinstance(run(tmp_path / "bad", "--output", tmp_path / "out").exception, InputError)
    assert (tmp_path / "out").read_bytes() == b"old"
    (tmp_path / "log").write_text(LINE)
    assert run(tmp_path / "log", "--output", tmp_path / "out").exception is None
    assert len(orjson.loads((tmp_path / "out").read_bytes())["connectionList"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "log", "out"]


def test_output_to_a_device_is_written_to_it(tmp_path: Path) -> None:
    """A pipe or a device is not replaced by a file."""
    (tmp_path / "log").write_text(LINE)
    assert run(tmp_path / "log", "--output", "/dev/null").exception is None
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("written", "expected"),
    [("", "node-a"), ("NODE-A", "node-a"), ("node-a.example.org", "node-a"), ("node-a", "node-a"), ("other", "other")],
)
def test_node_name_is_that_of_the_inventory(tmp_path: Path, written: str, expected: str) -> None:
    """A capture without a name, in other case or with a domain is of the node on which its pods are."""
    (tmp_path / "inventory").write_bytes(orjson.dumps(BODY))
    path = tmp_path / "a.capture"
    with_name = capture([flow(7, "10.96.0.10", 23)])
    capture_file.write(path, type(with_name)(**{**fields_of(with_name), "node_name": written}))
    result = run(path, "--inventory", tmp_path / "inventory")
    (body,) = bodies_of(result)
    assert body["nodeName"] == expected
    assert len(body["connectionList"]) == (0 if expected == "other" else 1)
    assert len(result.stderr.splitlines()) == (0 if written == "node-a" else 1)


def fields_of(value: object) -> dict[str, Any]:
    """The fields of a capture by name."""
    return {name: getattr(value, name) for name in type(value).__slots__}  # type: ignore[attr-defined]


def header_changed(**changes: object) -> bytes:
    """A capture whose header has other members."""
    content = inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES)
    line, _, records = content.partition(b"\n")
    return deflated([json.dumps({**orjson.loads(line), **changes}, separators=(",", ":")).encode() + b"\n", records])


@pytest.mark.parametrize(
    "changes",
    [
        {"acceptedLost": 7},
        {"acceptedLost": {"a": "7"}},
        {"lost": {"a": -1}},
        {"lost": {"a": 10**30}},
        {"cgroups": [[7, None]]},
        {"cgroups": [[7, [None]]]},
        {"cgroups": [["7", ["a"]]]},
        {"cgroups": 7},
        {"window": {"startNs": -1, "endNs": 2}},
        {"window": {"startNs": 3, "endNs": 2}},
        {"window": {"startNs": 0, "endNs": 10**40}},
        {"observed": {"startNs": 9, "endNs": 2}},
        {"nodeName": None},
        {"nodeName": "x" * 5000},
        {"version": 4},
        {"volumes": 1},
        {"volumes": -1},
        {"volumeBy": 7},
        {"volumeLost": {"open_unread": -1}},
        {"flows": 10**30},
        {"flows": -1},
        {"flows": 2},
        {"pods": [7]},
        {"missedRuns": "many"},
        {"openedLeftOut": []},
        {"gap": 5},
    ],
)
def test_capture_whose_header_does_not_fit_is_one_sentence(tmp_path: Path, changes: dict[str, object]) -> None:
    """Wrong inner types, negative windows, huge counts and times: no traceback, and nothing is delivered."""
    (tmp_path / "a.capture").write_bytes(header_changed(**changes))
    result = run(tmp_path / "a.capture")
    assert isinstance(result.exception, InputError)
    assert "expected" in str(result.exception)


@pytest.mark.parametrize(("offset", "value"), [(52, 1 << 63), (60, (1 << 64) - 1), (84, 1 << 63), (44, 5)])
def test_record_with_a_count_or_pod_that_cannot_be_is_one_sentence(tmp_path: Path, offset: int, value: int) -> None:
    """64 bits of a count, a time, or a pod beyond those of the header."""
    content = bytearray(inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES))
    start = content.index(b"\n") + 1
    size = 4 if offset == 44 else 8
    content[start + offset : start + offset + size] = value.to_bytes(size, "little")
    (tmp_path / "a.capture").write_bytes(deflated([bytes(content)]))
    assert isinstance(run(tmp_path / "a.capture").exception, InputError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def spoiled(value: Any, chance: random.Random, odd: object) -> Any:
    """The value with one member, somewhere, of another type."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        return {**value, name: spoiled(value[name], chance, odd)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], spoiled(value[place], chance, odd), *value[place + 1 :]]
    return odd


QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@QUICK
@given(st.randoms(use_true_random=False), JSON, st.sampled_from([BODY, KUBECTL]))
def test_any_inventory_is_answers_or_one_sentence(
    tmp_path: Path, taken: Path, chance: random.Random, odd: object, whole: dict[str, Any]
) -> None:
    """One member of any type in any place: no traceback."""
    (tmp_path / "inventory").write_text(json.dumps(spoiled(whole, chance, odd)))
    result = run(taken, "--inventory", tmp_path / "inventory")
    assert result.exception is None or isinstance(result.exception, InputError)


@QUICK
@given(st.randoms(use_true_random=False), JSON)
def test_any_capture_header_is_a_body_or_one_sentence(tmp_path: Path, chance: random.Random, odd: object) -> None:
    """One member of any type in any place of the header: no traceback."""
    content = inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES)
    line, _, records = content.partition(b"\n")
    changed = json.dumps(spoiled(orjson.loads(line), chance, odd), separators=(",", ":")).encode()
    (tmp_path / "a.capture").write_bytes(deflated([changed + b"\n", records]))
    result = run(tmp_path / "a.capture")
    assert result.exception is None or isinstance(result.exception, InputError)


@QUICK
@given(st.binary(max_size=300), st.integers(0, 2000), st.integers(0, 255))
def test_any_bytes_are_a_body_or_one_sentence(tmp_path: Path, tail: bytes, place: int, byte: int) -> None:
    """Random bytes behind a log, and one byte changed in inflated captures: no traceback."""
    (tmp_path / "a").write_bytes(LINE.encode() + b"\n" + tail)
    content = bytearray(inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES))
    content[place % len(content)] = byte
    (tmp_path / "b").write_bytes(deflated([bytes(content)]))
    for name in ("a", "b"):
        result = run(tmp_path / name)
        assert result.exception is None or isinstance(result.exception, InputError)


@QUICK
@given(st.text(max_size=200))
def test_any_line_is_unwrapped_to_a_text(written: str) -> None:
    """No envelope raises, and what is in no envelope stays."""
    assert isinstance(unwrap(written).text, str)
    assert unwrap(f"plain {written.replace('|', '')}").text.startswith("plain")


def bombs() -> dict[str, bytes]:
    """Small files that would take much memory."""
    body = capture_file.encode(capture([flow(7, "10.96.0.10", 23)] * 230_000))
    return {
        "zeros": deflated(b"\0" * (1 << 20) for _ in range(3000)),
        "lines": deflated(b"\n" * (1 << 20) for _ in range(31)),
        "log": deflated([f"{LINE}\n".encode() * 200_000]),
        "members": gzip.compress(b"") * 400_000,
        "capture": body,
        "header": deflated([b'{"format":"podsonar-capture","cgroups":[', b"[1,[]]," * 3_000_000, b"[1,[]]]}\n"]),
    }


@pytest.mark.long
@pytest.mark.parametrize("name", ["zeros", "lines", "log", "members", "capture", "header"])
def test_memory_of_replay_is_bounded(tmp_path: Path, repository: Path, name: str) -> None:
    """3 MB of gzip of any kind: at most 256 MiB of a process of its own."""
    (tmp_path / "input").write_bytes(bombs()[name])
    program = "from cli.main import main; main()"
    words = [sys.executable, "-c", program, "replay", str(tmp_path / "input"), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], cwd=repository, capture_output=True, text=True, check=True
    )
    code, peak_kib = map(int, done.stdout.split()[-2:])
    assert code in (0, 2)
    assert peak_kib <= 256 << 10


# Runs a command and prints its exit code and its peak memory in KiB: of that command alone.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
