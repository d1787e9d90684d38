"""Daemons outlive the command that started them, and none of their processes outlives the cluster."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from lab.real_cluster.addressing import Layout
from lab.real_cluster.daemon_configs import kubelet, may_lower_oom_score
from lab.real_cluster.daemons import Daemons, make_cgroups, processes_of, start_time
from lab.simulated import cgroups
from podsonar.errors import ApiServerError
from tests.ended import has_ended
from tests.open_files import open_files

FORKS = ["sh", "-c", "setsid sleep 600 & setsid sleep 600 & wait"]


@pytest.fixture
def daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    """Daemons of a cluster that has no more than its cgroups and a folder."""
    monkeypatch.setattr("lab.real_cluster.addressing.HOST", tmp_path)
    layout = Layout(f"podsonar-daemons-{os.getpid()}", 215)  # of this run alone
    layout.folder.mkdir()
    make_cgroups(layout)
    found = Daemons(layout)
    yield found
    found.kill()
    cgroups.remove(layout.name)


def forked(daemons: Daemons, count: int) -> set[int]:
    """The cluster's processes, once there are that many."""
    deadline = time.monotonic() + 10
    while len(found := processes_of(daemons.layout.name)) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def check_for_a_while(daemons: Daemons) -> None:
    """Check until one fails, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        daemons.check()


def wait_until_asleep(pid: int) -> None:
    """Return once the shell has executed `sleep` and that has loaded its libraries, whose files it opens and closes."""
    deadline = time.monotonic() + 10
    while " ".join(Path(f"/proc/{pid}/stat").read_text().split()[1:3]) != "(sleep) S":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.cluster
def test_another_command_finds_what_was_started(daemons: Daemons) -> None:
    """The state file names the process as long as it is that process."""
    pid = daemons.start("sleeper", ["sleep", "600"])
    assert Daemons(daemons.layout).pid("sleeper") == pid


@pytest.mark.cluster
def test_process_id_used_again_is_not_taken_for_the_daemon(daemons: Daemons) -> None:
    """A process with the recorded id but another start time is neither found nor killed."""
    daemons.start("sleeper", ["sleep", "600"])
    stranger = {"sleeper": {"pid": 1, "started": start_time(1) + "0"}}
    daemons.state.write_bytes(orjson.dumps(stranger))
    assert Daemons(daemons.layout).pid("sleeper") is None


@pytest.mark.cluster
def test_killed_without_a_state_file_nothing_is_left(daemons: Daemons) -> None:
    """Children of a daemon in sessions of their own end too, found by their cgroup alone."""
    daemons.start("forking", FORKS)
    pids = forked(daemons, 3)
    daemons.state.unlink()
    Daemons(daemons.layout).kill()
    assert not processes_of(daemons.layout.name)
    assert all(map(has_ended, pids))


@pytest.mark.cluster
def test_daemon_that_ends_raises_with_its_last_line(daemons: Daemons) -> None:
    """Waiting for a cluster ends as soon as one of its programs has ended."""
    daemons.start("failing", ["sh", "-c", "echo no such flag >&2; exit 3"])
    with pytest.raises(ApiServerError, match="failing ended with code 3, expected it to stay: no such flag"):
        check_for_a_while(daemons)


@pytest.mark.cluster
def test_nodes_come_up_side_by_side(daemons: Daemons) -> None:
    """Threads that check the daemons while others start some see them all; one that ends is reported once."""
    reported = threading.Event()

    def check_until_reported() -> str:
        while not reported.is_set():
            try:
                daemons.check()
            except ApiServerError as error:
                reported.set()
                return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        checks = [pool.submit(check_until_reported) for _ in range(2)]
        list(pool.map(lambda number: daemons.start(f"sleeper-{number}", ["sleep", "600"]), range(40)))
        daemons.start("failing", ["sh", "-c", "exit 3"])
    assert sorted(item.result() for item in checks) == ["", "failing ended with code 3, expected it to stay: "]
    assert len(daemons.children) == 40


@pytest.mark.cluster
def test_daemon_gets_no_open_file_of_its_starter(daemons: Daemons, tmp_path: Path) -> None:
    """A lock that the starter holds is free once the starter is gone, although the daemon runs on."""
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        pid = daemons.start("sleeper", ["sleep", "600"])
        wait_until_asleep(pid)
        opened = open_files(pid)
    assert opened == {os.devnull, str(daemons.log("sleeper"))}


@pytest.mark.parametrize(("held", "may"), [("000001ffffffffff", True), ("000001fffeffffff", False), ("0", False)])
def test_oom_score_is_lowered_only_with_the_capability(held: str, may: bool) -> None:
    """Bit 24 is CAP_SYS_RESOURCE: without it a sandbox whose score is below its parent's does not start."""
    assert may_lower_oom_score(f"Name:\tx\nCapEff:\t{held}\n") is may


def test_each_node_has_its_own_cgroup_root() -> None:
    """A kubelet kills pods below its root that it does not know: two on one machine must not share it."""
    layout = Layout()
    roots = [kubelet(layout, node)["cgroupRoot"] for node in layout.nodes]
    assert roots == ["/podsonar-cluster/node-a", "/podsonar-cluster/node-b"]
