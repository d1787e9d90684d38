"""The inventory of a replay: every form that people have is read, what does not fit is named; ranges and node name."""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from node_agent.capture.files import capture_file
from podsonar.errors import InputError, SettingsError
from podsonar.json_gzip import deflated
from tests.node_agent.replay.replayed import BODY, KUBECTL, POD, SERVICE, bodies_of, run
from tests.node_agent.stages import capture, flow

NODE = {
    "kind": "Node",
    "metadata": {"uid": "node-uid", "name": "node-a", "creationTimestamp": "2020-01-01T00:00:00Z"},
    "spec": {"podCIDR": "10.244.0.0/24"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]},
}


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
