"""`podsonar collector once` against what cannot be listed: exit code 1, one sentence, no file, no credential."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cluster_api.header_server import HeaderServer
from tests.cluster_api.test_kubeconfig import CANARY, EXEC_V1, kubeconfig
from tests.ended import wait_for_end
from tests.silent_server import SilentServer

pytestmark = pytest.mark.long

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "collector"]


def once(folder: Path, user: Any, cluster: Any) -> subprocess.CompletedProcess[bytes]:
    """The run of one listing into a file."""
    path = kubeconfig(folder, user, cluster)
    command = [*COMMAND, "once", "--kubeconfig", str(path), "--output", str(folder / "output")]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"token": f"{CANARY}\n"}, {"server": "http://127.0.0.1:1"}),
        ({"token": CANARY}, {"server": "http://127.0.0.1:1"}),
        (
            {"exec": {"apiVersion": EXEC_V1, "command": "/bin/false", "args": [CANARY]}},
            {"server": "http://127.0.0.1:1"},
        ),
        ({"auth-provider": {"name": "gcp", "config": {"access-token": CANARY}}}, {}),
        ({}, {"server": f"http://admin:{CANARY}@127.0.0.1:1"}),
        ({}, {"server": "http://127.0.0.1:1", "proxy-url": f"socks5://u:{CANARY}@127.0.0.1:1"}),
        ({}, {"server": "http://127.0.0.1:1", "proxy-url": f"{CANARY}.example:3128"}),
        ({}, {"server": "http://127.0.0.1:1", "proxy-url": f"http://u:{CANARY}@127.0.0.1:1"}),
    ],
)
def test_listing_of_nothing_is_a_failure_in_one_sentence(tmp_path: Path, user: Any, cluster: Any) -> None:
    """An empty file and exit code 0 would be taken for an empty cluster."""
    (tmp_path / "output").write_text("of the last run")
    done = once(tmp_path, user, cluster)
    assert done.returncode == 1
    assert CANARY.encode() not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
    assert sum(line.startswith(b"podsonar: ") for line in done.stderr.splitlines()) == 1
    assert (tmp_path / "output").read_text() == "of the last run"


def test_listing_that_is_refused_everywhere_is_a_failure(tmp_path: Path) -> None:
    """No kind may be listed: that is no inventory of an empty cluster either."""
    with HeaderServer(403, orjson.dumps({"kind": "Status", "reason": "Forbidden"})) as server:
        done = once(tmp_path, {"token": CANARY}, {"server": server.url})
    assert done.returncode == 1
    assert b"not one kind could be listed: forbidden" in done.stderr
    assert CANARY.encode() not in done.stderr
    assert not (tmp_path / "output").exists()


def test_server_that_never_answers_costs_its_time_and_is_a_failure(tmp_path: Path) -> None:
    """Nobody is waited for longer than the budget of one listing, whoever takes the connection."""
    server, began = SilentServer(), time.monotonic()
    try:
        done = once(tmp_path, {"token": CANARY}, {"server": server.url})
    finally:
        server.close()
    assert time.monotonic() - began < 45  # a page has 60 s
    assert done.returncode == 1
    assert b"not one kind could be listed: unreachable" in done.stderr
    assert CANARY.encode() not in done.stderr
    assert not (tmp_path / "output").exists()


def test_plugin_that_waits_does_not_hold_a_collector_that_ends(tmp_path: Path) -> None:
    """SIGTERM while the first credentials are waited for: it ends, and with it each plugin that it started."""
    started = tmp_path / "started"
    script = f"import os, time; open({str(started)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    plugin = {"apiVersion": EXEC_V1, "command": sys.executable, "args": ["-c", script]}
    path = kubeconfig(tmp_path, {"exec": plugin}, {"server": "http://127.0.0.1:1"})
    (tmp_path / "token").write_text("podsonar_" + "a" * 40)
    settings = {
        "manager": {"tokenFile": str(tmp_path / "token")},
        "directory": {"tokenFile": str(tmp_path / "token"), "listen": "127.0.0.1:0"},
        "spool": {"folder": str(tmp_path / "spool")},
    }
    (tmp_path / "config.yaml").write_bytes(orjson.dumps(settings))
    command = [*COMMAND, "run", "--now", "--kubeconfig", str(path), "--config", str(tmp_path / "config.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not (started.exists() and started.read_text()) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)  # the plugin would take a minute
    assert process.returncode == 0, output.decode()
    for pid in started.read_text().split():  # the lists and the watches have credentials of their own
        wait_for_end(int(pid))
