"""A token file as Kubernetes mounts it: swapped while running, gone for a moment, or spoilt."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from delivery.batch import Batch
from delivery.push import Pusher, PushOutcome
from delivery.spool import Spool
from delivery.token_file import TokenFile, is_mount_point
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.answering_server import GivenAnswer, ReceivedRequest, answering

OLD, NEW = "old-token-old-token-0123", "new-token-new-token-0123"
MOUNTS = (
    "36 35 98:0 /mnt1 / rw,noatime master:1 - ext3 /dev/root rw\n"
    "37 36 0:31 /token /etc/podsonar/token/token rw - tmpfs tmpfs rw\n"
)


def secret(folder: Path, number: int, token: str) -> None:
    """The folder as the kubelet leaves it: `token` -> `..data/token`, `..data` -> the newest, swapped at once."""
    data = folder / f"..2026_11_24_{number}"
    data.mkdir(parents=True)
    (data / "token").write_text(token)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(data.name)
    fresh.replace(folder / "..data")
    if not (folder / "token").is_symlink():
        (folder / "token").symlink_to("..data/token")


class Picky(NamedTuple):
    """A manager that takes the new token only; `asked` has each token that came."""

    url: str
    asked: list[str]


@pytest.fixture
def picky() -> Iterator[Picky]:
    """The manager: 201 for the new token, 401 for others."""
    asked: list[str] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        asked.append(posted.headers["Authorization"].removeprefix("Token "))
        return GivenAnswer(201 if asked[-1] == NEW else 401)

    with answering(answer) as url:
        yield Picky(url, asked)


def pusher(folder: Path, server: Picky, token: Path) -> tuple[Pusher, list[PushOutcome]]:
    """A pusher with one batch, and the list of its outcomes."""
    spool = Spool(folder / "spool")
    spool.put(Batch("c-1-token", "connections", 1 << 62, pack({})))
    outcomes: list[PushOutcome] = []
    settings = AgentConfiguration(manager=ManagerEndpoint(url=server.url))
    return Pusher(settings, spool, TokenFile(str(token)), outcomes.append), outcomes


def test_refused_agent_goes_on_as_soon_as_the_secret_is_swapped(tmp_path: Path, picky: Picky) -> None:
    """After a 401 the next try would be 30 s away; another token in the file ends that wait (row 9)."""
    secret(tmp_path / "mount", 1, OLD)
    made, outcomes = pusher(tmp_path, picky, tmp_path / "mount/token")
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    while not outcomes:
        stop.wait(0.01)
    secret(tmp_path / "mount", 2, NEW)
    while outcomes[-1].code != "idle":
        stop.wait(0.01)
    stop.set()
    made.spool.wakeup.set()
    thread.join()
    made.close()
    assert picky.asked == [OLD, NEW]
    assert outcomes[0].wait_seconds == 30


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 20, b"x" * (1 << 20), b"two words are no token of ours"])
def test_spoilt_token_sends_no_request_and_is_not_ready(tmp_path: Path, picky: Picky, content: bytes) -> None:
    """Empty, binary, a mebibyte, words: no request, `token_invalid` for readiness; the right one heals it (row 8)."""
    token = tmp_path / "token"
    token.write_bytes(content)
    made, outcomes = pusher(tmp_path, picky, token)
    made.token.check_at_start()
    made.step()
    assert (outcomes[0].code, outcomes[0].reason, outcomes[0].sent) == ("token", "token_invalid", False)
    assert made.unready == "token_invalid"
    assert picky.asked == []
    token.unlink()
    token.write_text(NEW)
    assert made.step().code == "201"
    assert made.unready is None
    made.close()


def test_token_absent_in_the_middle_of_a_swap_keeps_the_last(tmp_path: Path, picky: Picky) -> None:
    """A push while the file is gone uses the token that was last read (row 10)."""
    secret(tmp_path / "mount", 1, NEW)
    made, _told = pusher(tmp_path, picky, tmp_path / "mount/token")
    made.token.check_at_start()
    os.unlink(tmp_path / "mount/..data")  # noqa: PTH108
    assert made.step().code == "201"
    made.close()


@pytest.mark.parametrize(
    ("path", "mounted"),
    [("/etc/podsonar/token/token", True), ("/etc/podsonar/token", False), ("/etc/podsonar/other", False)],
)
def test_token_mounted_by_subpath_is_recognized(path: str, mounted: bool) -> None:
    """A file that is a mount point of its own never changes with its Secret (row 11)."""
    assert is_mount_point(Path(path), MOUNTS) is mounted
