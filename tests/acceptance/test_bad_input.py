"""Every user mistake is reported in one sentence, with the exit code of its kind and never a traceback."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node_agent.capture.files import capture_file
from podsonar.model import Capture, Flow, Window

SETTINGS, RUNTIME = 2, 1
SECOND_NS = 1_000_000_000
TOKEN = "a-token-that-nobody-issued-0123"
RUNNING = "metrics: {listen: ''}\nmanager: {tokenFile: TOKEN}\ndirectory: {tokenFile: TOKEN}\nspool: {folder: SPOOL}\n"


@dataclass(frozen=True)
class Case:
    """A command line, the settings file, and every part that the sentence must contain."""

    words: list[str]
    code: int
    named: list[str]
    settings: str = RUNNING
    environment: dict[str, str] = field(default_factory=dict)


NODE = {"NODE_NAME": "node-a"}
BAD_CRON = RUNNING + "data: {cron: {expression: '61 * * * *'}}\n"
NO_TOKEN = RUNNING.replace("manager: {tokenFile: TOKEN}", "manager: {tokenFile: ABSENT}")
UNKNOWN = RUNNING + "data: {colectionWindowInMin: 2}\n"
UNKNOWN_NAMED = ["data.colectionWindowInMin", "collectionWindowInMin"]
CRON_NAMED = ["data.cron.expression", "61 * * * *", "expected"]
TOKEN_NAMED = ["token file", "FOLDER/absent", "No such file", "expected"]
COLLECT = ["collector", "run", "--config", "CONFIG", "--kubeconfig", "KUBECONFIG"]
TRACE = ["agent", "run", "--config", "CONFIG"]

CASES = {
    "collector-unknown-setting": Case(COLLECT, SETTINGS, UNKNOWN_NAMED, UNKNOWN),
    "agent-unknown-setting": Case(TRACE, SETTINGS, UNKNOWN_NAMED, UNKNOWN, NODE),
    "manager-unknown-setting": Case(
        ["manager", "serve", "--config", "CONFIG"], SETTINGS, ["lisen", "listen"], "lisen: x"
    ),
    "setting-of-wrong-type": Case(
        COLLECT, SETTINGS, ["data.collectionWindowInMin", "soon", "expected"], "data: {collectionWindowInMin: soon}"
    ),
    "settings-file-absent": Case(
        ["collector", "run", "--config", "FOLDER/nowhere.yaml"], SETTINGS, ["FOLDER/nowhere.yaml", "expected"]
    ),
    "collector-bad-cron": Case(COLLECT, SETTINGS, CRON_NAMED, BAD_CRON),
    "agent-bad-cron": Case(TRACE, SETTINGS, CRON_NAMED, BAD_CRON, NODE),
    "collector-token-file-absent": Case(COLLECT, RUNTIME, TOKEN_NAMED, NO_TOKEN),
    "agent-token-file-absent": Case(TRACE, RUNTIME, TOKEN_NAMED, NO_TOKEN, NODE),
    "agent-unknown-method": Case(
        TRACE,
        SETTINGS,
        ["node.method", "'kprobe'", "expected raw_tracepoint or tracepoint"],
        "node: {method: kprobe}",
        NODE,
    ),
    "agent-metrics-address-of-another-machine": Case(
        TRACE,
        SETTINGS,
        ["metrics.listen", "192.0.2.1:9464", "expected a free port"],
        RUNNING.replace("listen: ''", "listen: '192.0.2.1:9464'"),
        NODE,
    ),
    "agent-log-level-unknown": Case(
        TRACE, SETTINGS, ["log.level", "'loud'", "expected debug"], RUNNING + "log: {level: loud}", NODE
    ),
    "agent-manager-url-without-tls": Case(
        TRACE,
        SETTINGS,
        ["manager.url", "http://example.org", "expected https"],
        RUNNING.replace("manager: {", "manager: {url: 'http://example.org', "),
        NODE,
    ),
    "config-check-bad-cron": Case(["config", "check", "agent", "--config", "CONFIG"], SETTINGS, CRON_NAMED, BAD_CRON),
    "config-check-unknown-setting": Case(
        ["config", "check", "collector", "--config", "CONFIG"], SETTINGS, UNKNOWN_NAMED, UNKNOWN
    ),
    "kubeconfig-unreadable": Case(
        ["collector", "once", "--kubeconfig", "FOLDER/broken"], RUNTIME, ["kubeconfig", "FOLDER/broken", "expected"]
    ),
    "kubeconfig-absent": Case(
        ["collector", "once", "--kubeconfig", "FOLDER/absent"], RUNTIME, ["kubeconfig", "FOLDER/absent", "expected"]
    ),
    "capture-cut-in-half": Case(["replay", "FOLDER/half"], SETTINGS, ["FOLDER/half", "bytes", "expected"]),
    "capture-absent": Case(["replay", "FOLDER/absent"], SETTINGS, ["FOLDER/absent", "expected"]),
    "node-name-missing": Case(TRACE, SETTINGS, ["node.name", "empty", "NODE_NAME", "expected"]),
}

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: it, user: {}}]
"""


def half_a_capture() -> bytes:
    """The first half of a capture file of one flow."""
    flow = Flow(1, "192.0.2.1", "192.0.2.2", 80, 1, 1, 0, 0, 1, 2, 3, 3, 0, False, None)
    window = Window(SECOND_NS, 2 * SECOND_NS)
    packed = capture_file.encode(Capture(window, "node-a", "bcc:raw_tracepoint", "cgroup", [flow], [], {}, {}))
    return packed[: len(packed) // 2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A token, a kubeconfig of a server that does not exist, a broken kubeconfig and half a capture."""
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "broken").write_text("apiVersion: [v1")
    (tmp_path / "half").write_bytes(half_a_capture())
    return tmp_path


def filled(text: str, folder: Path) -> str:
    """The text with the folder's paths in place of their names."""
    places = {
        "FOLDER": str(folder),
        "CONFIG": str(folder / "settings.yaml"),
        "KUBECONFIG": str(folder / "kubeconfig"),
        "TOKEN": str(folder / "token"),
        "ABSENT": str(folder / "absent"),
        "SPOOL": str(folder / "spool"),
    }
    for name in sorted(places, key=len, reverse=True):
        text = text.replace(name, places[name])
    return text


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_reported_in_one_sentence(folder: Path, repository: Path, case: Case) -> None:
    """One line on stderr names what, the value and what was expected; the exit code separates usage from failure."""
    (folder / "settings.yaml").write_text(filled(case.settings, folder))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", *(filled(word, folder) for word in case.words)],
        cwd=repository,
        env=kept | case.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=25,
    )
    said = done.stderr.strip()
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == case.code, said
    assert said.count("\n") == 0, said
    assert said.startswith("podsonar: "), said
    missing = [part for part in case.named if filled(part, folder) not in said]
    assert not missing, f"{missing} not in: {said}"
    assert TOKEN not in said
    assert done.stdout == ""
