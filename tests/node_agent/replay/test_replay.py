"""node_agent/replay.py and `podsonar replay`: the same bytes each time, one sentence for what cannot be read."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from cli.replay import replay as command
from node_agent.capture.files import capture_file
from node_agent.replay import replay, without_inventory
from node_agent.replay_inventory import read_inventory
from podsonar.errors import InputError
from tests.node_agent.stages import WEB, capture, flow


def test_the_published_log_prints_nine_connections_and_names_the_rest(repository: Path) -> None:
    """The body alone is on stdout; each line left out is named on stderr."""
    result = CliRunner().invoke(command, [str(repository / "tests/fixtures/node-agent-sample.log")])
    assert result.exit_code == 0
    assert len(orjson.loads(result.stdout)["connectionList"]) == 9
    assert len(result.stderr.splitlines()) == 33 + 2  # the counts by reason


def test_a_capture_with_an_inventory_names_pod_and_service_twice_the_same(tmp_path: Path) -> None:
    """Replay needs no cluster, and gives the same bytes each time."""
    taken, inventory = tmp_path / "a.capture", tmp_path / "inventory.jsonl"
    capture_file.write(taken, capture([flow(7, "10.96.0.10", 23)]))
    pod = {
        "metadata": {"uid": WEB, "name": "web-1", "namespace": "shop", "ownerReferences": [OWNER]},
        "spec": {"nodeName": "node-a"},
        "status": {"phase": "Running", "podIP": "10.244.0.5", "startTime": "2020-01-01T00:00:00Z"},
    }
    service = {
        "metadata": {
            "uid": "svc-1",
            "name": "orders",
            "namespace": "shop",
            "creationTimestamp": "2020-01-01T00:00:00Z",
        },
        "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 8080}]},
    }
    inventory.write_bytes(orjson.dumps({"podList": [pod], "serviceList": [service]}) + b"\n")
    runs = [CliRunner().invoke(command, [str(taken), "--inventory", str(inventory)]) for _ in range(2)]
    assert runs[0].stdout_bytes == runs[1].stdout_bytes
    (one,) = orjson.loads(runs[0].stdout)["connectionList"]
    assert one["kubernetes"]["sourcePod"]["name"] == "web-1"
    assert one["kubernetes"]["destinationService"]["name"] == "orders"


OWNER = {"kind": "ReplicaSet", "name": "web", "uid": "rs-1", "controller": True}


def test_a_capture_without_an_inventory_guesses_no_destination(tmp_path: Path) -> None:
    """The kernel knows the source pod's UID; nobody knows the destination."""
    path = tmp_path / "a.capture"
    capture_file.write(path, capture([flow(7, "10.96.0.10", 23)]))
    (one,) = orjson.loads(b"".join(replay(path, without_inventory).content))["connectionList"]
    assert one["kubernetes"]["sourcePod"]["uid"] == WEB
    assert one["destination"]["kind"] == "Unknown"
    assert one["destination"]["reason"] == "no_inventory"


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x1f\x8b"])
def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """The file and what was expected are named."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected"):
        replay(path, without_inventory)


def test_an_inventory_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    """The error has the line's number."""
    path = tmp_path / "inventory"
    path.write_bytes(b"{}\n[]\n")
    with pytest.raises(InputError, match="line 2"):
        read_inventory(path)
