"""SIGTERM ends the collector within 5 s though nobody answers it; what it had to send is still on disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery.batch import Batch
from delivery.spool import Spool
from lab.demo.fake_api_server import kubeconfig
from podsonar.json_gzip import pack
from tests.silent_server import SilentServer

pytestmark = pytest.mark.long

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "collector", "run", "--now"]
PATIENCE_SECONDS = 15  # 5 are promised, on a machine that does nothing else; without them it would be 30 to 60


@pytest.fixture
def api() -> Iterator[SilentServer]:
    """An API server that never answers."""
    with closing(SilentServer()) as made:
        yield made


@pytest.fixture
def manager() -> Iterator[SilentServer]:
    """A manager that never answers."""
    with closing(SilentServer()) as made:
        yield made


def started(folder: Path, api: SilentServer, manager: SilentServer, data: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A collector that has one batch to send."""
    (folder / "token").write_text("podsonar_0123456789ab_" + "A" * 43)
    with closing(Spool(folder / "spool")) as spool:
        spool.put(Batch("i-1", "inventory", time.time_ns(), pack({"kept": True})))
    settings = {
        "manager": {"url": manager.url, "tokenFile": str(folder / "token")},
        "directory": {"listen": "127.0.0.1:0", "tokenFile": str(folder / "token")},
        "spool": {"folder": str(folder / "spool")},
        "data": {"cron": {"expression": "0 0 1 1 *"}, **data},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig(api.url)))
    given = ["--config", str(folder / "settings.yaml"), "--kubeconfig", str(folder / "kubeconfig")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen([*COMMAND, *given], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("data", "asks"),
    [({}, 4), ({"namespaceSelector": "team=shop"}, 1)],
    ids=["lists-and-watches", "selector-at-start"],
)
def test_sigterm_while_nobody_answers_ends_it_and_keeps_what_waits(
    tmp_path: Path, api: SilentServer, manager: SilentServer, data: dict[str, Any], asks: int
) -> None:
    """Neither the answer to a list, nor to a watch, nor to a push is waited for, and no half inventory is kept."""
    with started(tmp_path, api, manager, data) as process:
        try:
            lines = api.request_lines(asks)
            assert all(line.startswith(b"GET /api") for line in lines), lines
            if asks > 1:
                assert manager.request_lines(1) == [b"POST /api/v1/collections HTTP/1.1"]
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert (process.returncode, b"Traceback" in said) == (0, False), said.decode()
    assert [path.name for path in (tmp_path / "spool").glob("*.batch")] == ["000000000001-i-1.batch"]
    assert not list((tmp_path / "spool").glob("*.tmp"))
