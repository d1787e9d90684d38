"""The README's offline recipe as it is written: no name of the node, an inventory of kubectl, every edge named."""

import os
import re
import shlex
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

from lab.simulated.two_nodes import NODES, Placement, TwoNodes

pytestmark = pytest.mark.kernel

ATTEMPTS = 23
BLOCK = re.compile(r"^## Offline\n\n```\n(.*?)```", re.MULTILINE | re.DOTALL)


def recipe(repository: Path) -> dict[str, list[str]]:
    """The words of each of the recipe's commands, by the command's name."""
    (block,) = BLOCK.findall((repository / "README.md").read_text())
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert all(words[0] == "podsonar" for words in lines)
    return {" ".join(words[1:3]) if words[1] in ("agent", "collector") else words[1]: words[1:] for words in lines}


def pod(uid: str, name: str, node: str, address: str) -> dict[str, Any]:
    """A pod as kubectl prints it."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"rs-{name}", "controller": True}
    meta = {
        "uid": uid,
        "name": name,
        "namespace": "shop",
        "creationTimestamp": "2020-01-01T00:00:00Z",
        "ownerReferences": [owner],
    }
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": "2020-01-01T00:00:00Z",
        "containerStatuses": [{"state": {"running": {"startedAt": "2020-01-01T00:00:01Z"}}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": node}, "status": status}


def test_offline_recipe_names_every_connection(tmp_path: Path, repository: Path) -> None:
    """`agent capture` without NODE_NAME, then `replay` with the cluster's objects: source and destination are named."""
    commands = recipe(repository)
    capture_words = [*commands["agent capture"][:-1], "8"]  # not the recipe's minute
    environment = {name: value for name, value in os.environ.items() if "NODE_NAME" not in name}
    environment["PYTHONPATH"] = str(repository)
    podsonar = [sys.executable, "-c", "from cli.main import main; main()"]
    uids = {name: str(uuid.uuid4()) for name in ("web", "shop")}
    addresses = {"web": NODES["a"].pod_addresses(7, 2), "shop": NODES["a"].pod_addresses(7, 3)}
    with TwoNodes() as lab:
        web = lab.start_container("web", uids["web"], Placement("a", addresses["web"]))
        lab.start_container("shop", uids["shop"], Placement("a", addresses["shop"]), (8080,))
        with subprocess.Popen([*podsonar, *capture_words], cwd=tmp_path, env=environment) as process:
            while process.poll() is None:  # again and again, so that some fall into the window however it begins
                web.connect(addresses["shop"][0], 8080, ATTEMPTS)
                time.sleep(0.5)
    assert process.returncode == 0
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod(uids[n], n, "node-a", addresses[n][0]) for n in uids]}
    (tmp_path / commands["collector once"][-1]).write_bytes(orjson.dumps(listed, option=orjson.OPT_INDENT_2))
    done = subprocess.run(
        [*podsonar, *commands["replay"]], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    body = orjson.loads(done.stdout)
    assert body["nodeName"] == "node-a"
    assert b"node.name is empty: taken as 'node-a'" in done.stderr
    own = [one for one in body["connectionList"] if one["sourceIP"] == addresses["web"][0]]
    (edge,) = [one for one in own if one["attempts"]]
    assert edge["attempts"] == edge["established"] >= ATTEMPTS
    assert edge["kubernetes"]["sourcePod"]["name"] == "web"
    assert edge["kubernetes"]["destinationPod"]["name"] == "shop"
    assert "other_node" not in body["observation"]["filtered"]
