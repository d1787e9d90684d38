"""`podsonar logs` and `podsonar manager log-token` against a running manager."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.manager.manager_process import ManagerProcess, manager_process

ACCOUNT = "acme"


def line(pos: int, out: str) -> dict[str, object]:
    """A log line."""
    return {"level": "info", "pos": pos, "out": out, "time": "2025-05-01T17:27:56Z", "args": {"PodName": "a"}}


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """The manager as the command serves it."""
    with manager_process(tmp_path_factory.mktemp("manager")) as made:
        yield made


def podsonar(*words: str) -> list[str]:
    """The command's argument list."""
    return [sys.executable, "-c", "from cli.main import main; main()", *words]


def put(manager: ManagerProcess, token: str, method: str, path: str, key: str, lines: object = None) -> None:
    """One request of a writer."""
    answer = httpx.request(
        method,
        f"{manager.url}/log-service{path}",
        params={"accountID": ACCOUNT, "key": key},
        headers={"X-Harness-Token": token},
        json=lines,
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 204, answer.text


@pytest.mark.long
def test_stream_is_printed_and_followed(manager: ManagerProcess, tmp_path: Path) -> None:
    """`logs` prints what is there; with `-f` what is written while it runs, until the stream is closed."""
    made = subprocess.run(
        podsonar("manager", "log-token", "--account", ACCOUNT, "--database", manager.database),
        capture_output=True,
        text=True,
        check=True,
    )
    token = made.stdout.strip()
    key = f"{secrets.token_hex(4)}-pod-delete"
    file = tmp_path / "key"
    file.write_text(manager.key)
    words = ("logs", key, "--account", ACCOUNT, "--manager", manager.url, "--key-file", str(file))
    put(manager, token, "PUT", "/stream", key, [line(1, "begin\x1b[31m")])
    once = subprocess.run(podsonar(*words), capture_output=True, text=True, check=True)
    assert once.stdout == "2025-05-01T17:27:56Z info  begin\\x1b[31m PodName=a\n"
    with subprocess.Popen(podsonar(*words, "--follow"), stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == once.stdout
        put(manager, token, "PUT", "/stream", key, [line(2, "end")])
        assert "end" in following.stdout.readline()
        put(manager, token, "DELETE", "", key)
        assert following.stdout.read() == ""
        assert following.wait(20) == 0
    gone = subprocess.run(podsonar("logs", "none", *words[2:]), capture_output=True, text=True, check=False)
    assert (gone.returncode, "404" in gone.stderr) == (1, True)
