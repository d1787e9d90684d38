"""`podsonar agent preflight` on this kernel, and with missing requirements."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.kernel

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "agent", "preflight"]
CHECKS = {
    "kernel", "architecture", "capabilities", "user namespace", "lockdown", "BTF", "kernel headers", "kheaders",
    "tracefs", "debugfs", "perf_event_paranoid", "unprivileged_bpf_disabled", "kprobes", "seccomp", "security modules",
    "cgroup", "memory limit", "user", "node's processes", "pods recognised", "eBPF program", "NODE_NAME",
    "token", "spool folder", "manager", "directory",
}  # fmt: skip


def preflight(
    folder: Path, repository: Path, prefix: list[str], *words: str, name: str = "node-a"
) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, lines by check, and stderr."""
    token = folder / "token"
    if not token.exists():
        token.write_text("a-token-that-nobody-issued-0123")
    settings = ["--manager-token-file", str(token), "--spool-folder", str(folder / "spool"), "--manager-url"]
    done = subprocess.run(
        [*prefix, *COMMAND, "--json", *settings, "http://127.0.0.1:1", *words],
        cwd=repository,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **({"NODE_NAME": name} if name else {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    body = json.loads(done.stdout)
    lines = {line["name"]: line for line in body["checks"]}
    assert body["ok"] == (done.returncode == 0)
    assert set(lines) == CHECKS
    return done.returncode, lines, done.stderr


def test_machine_that_can_be_traced_passes(tmp_path: Path, repository: Path) -> None:
    """Manager and directory are away, and this is uid 0: warnings. Containers of others may run beside."""
    code, lines, _said = preflight(tmp_path, repository, [])
    assert code == 0
    assert {name for name, line in lines.items() if line["state"] != "ok"} - {"pods recognised"} == {
        "manager",
        "directory",
        "user",
    }
    assert lines["manager"]["todo"].startswith("batches wait in the spool until it answers")
    assert lines["node's processes"]["found"] == "visible, also to a socket iterator"
    assert lines["eBPF program"]["found"].startswith("bcc:raw_tracepoint in ")


def test_missing_capability_fails_by_name(tmp_path: Path, repository: Path) -> None:
    """With CAP_BPF alone two lines fail, both name CAP_PERFMON, and the exit code is 3."""
    only = "-all,+bpf"
    code, lines, said = preflight(tmp_path, repository, ["setpriv", "--bounding-set", only, "--inh-caps", only])
    assert code == 3
    assert {name for name, line in lines.items() if line["state"] == "fail"} == {"capabilities", "eBPF program"}
    assert all("missing CAP_PERFMON" in lines[name]["todo"] for name in ("capabilities", "eBPF program"))
    assert said.strip() == "podsonar: preflight: 2 of 26 checks failed: capabilities, eBPF program"


def test_what_the_operator_forgot_fails_with_what_to_do(tmp_path: Path, repository: Path) -> None:
    """No NODE_NAME, an empty token file and a spool folder that is a file: three lines, each with a remedy."""
    (tmp_path / "token").touch()
    (tmp_path / "spool").touch()
    code, lines, _said = preflight(tmp_path, repository, [], name="")
    assert code == 3
    assert {name for name, line in lines.items() if line["state"] == "fail"} == {"NODE_NAME", "token", "spool folder"}
    assert "spec.nodeName" in lines["NODE_NAME"]["todo"]
    assert "expected 20 to 256 printable ASCII" in lines["token"]["todo"]
    assert "spool.folder" in lines["spool folder"]["todo"]
