"""Row 52 on a real file system, and row 58 with a real collector process."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from lab.demo.fake_api_server import PLURALS, kubeconfig

PODS, POD_BYTES, MOST_MIB = int(os.environ.get("PODSONAR_TEST_PODS", "100000")), 3000, 512


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a file system of its own")
def test_row_52_disk_that_fails_costs_no_waiting_batch(tmp_path: Path, repository: Path) -> None:
    """Full, read-only, no descriptor left: each is an error for the caller, and the next batch is stored again."""
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.faults.disk_program"]
    done = subprocess.run([*command, str(tmp_path)], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "before": "stored",
        "ENOSPC": "too little space is free",
        "EROFS": "Read-only file system",
        "EMFILE": "Too many open files",
        "after": "stored",
        "waiting": "c-0,c-4",
        "read": "c-0",
        "unfinished": "",
    }


def test_row_52_disk_that_reports_an_error_costs_no_waiting_batch(tmp_path: Path, repository: Path) -> None:
    """EIO of fsync(2), by the kernel's own filter: the batch is not taken for stored, and nothing of it is left."""
    command = [sys.executable, "-m", "tests.faults.failing_fsync", str(tmp_path / "spool")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "stored | Input/output error | ['c-0'] []"


@contextmanager
def large_api_server(pods: int) -> Iterator[str]:
    """A server of many pods that are made as they are sent."""
    padding = "x" * POD_BYTES

    def pod(number: int) -> bytes:
        metadata: dict[str, Any] = {
            "name": f"p-{number}",
            "namespace": "n",
            "uid": f"uid-{number}",
            "annotations": {"a": padding},
        }
        owner = {"kind": "StatefulSet", "name": "s", "uid": "u", "apiVersion": "apps/v1", "controller": True}
        metadata["ownerReferences"] = [owner]
        return orjson.dumps({"metadata": metadata, "spec": {"nodeName": "node-a", "containers": []}})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            kind = PLURALS.get(url.path.rpartition("/")[2], "")
            begin, end = 0, 0
            if kind == "Pod":
                begin = int(asked.get("continue", "0"))
                end = min(pods, begin + int(asked.get("limit", pods)))
            metadata = {"resourceVersion": "7"} | ({"continue": str(end)} if end < pods and kind == "Pod" else {})
            head = orjson.dumps({"kind": f"{kind}List", "apiVersion": "v1", "metadata": metadata})[:-1] + b',"items":['
            body = head + b",".join(pod(number) for number in range(begin, end)) + b"]}"
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.long
def test_row_58_collector_of_100_000_pods_stays_below_512_mib(tmp_path: Path) -> None:
    """Three hundred megabytes come by pages and leave by parts; every pod arrives."""
    with large_api_server(PODS) as url:
        (tmp_path / "kubeconfig").write_bytes(orjson.dumps(kubeconfig(url)))
        command = [sys.executable, "-c", "from cli.main import main; main()", "collector", "once"]
        command += ["--kubeconfig", str(tmp_path / "kubeconfig"), "--output", str(tmp_path / "output")]
        peak = 0
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            while process.poll() is None:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                peak = max([peak, *(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))])
                time.sleep(0.05)
            assert process.stderr is not None
            assert process.returncode == 0, process.stderr.read().decode()
    found = (tmp_path / "output").read_bytes()
    assert found.count(b'"uid":"uid-') == PODS
    assert peak < MOST_MIB
    print(f"collector of {PODS} pods: {peak} MiB")  # noqa: T201
