"""A restart forgets nothing certain, and no file is believed that is not what `snapshot_file` wrote."""

import time
from pathlib import Path

import pytest

from collector.directory import snapshot_file
from collector.directory.watch_events import WatchEvent
from collector.k8s.kinds import WatchTarget
from directory import snapshot
from directory.interval import REPORT_NS
from directory.lookup import Directory
from podsonar.directory_answer import Query
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.collector.directory.followed_pods import PODS, live_directory, names, pod
from tests.collector.scripted_api import ScriptedApi
from tests.directory.test_identity import HASH, marked
from tests.directory.test_lookup import NODE
from tests.directory.test_proven_outside import gke, with_host_port


def test_intervals_outlive_a_restart(tmp_path: Path) -> None:
    """What ended before the restart is still answered; what ended during it is certain up to the save only."""
    now_ns = time.time_ns()
    long_ago = now_ns - 600 * NS_PER_SECOND
    file = tmp_path / "directory" / "intervals"
    api = ScriptedApi({"pods": [pod("former", started_ns=long_ago), pod("other", "10.244.0.10", started_ns=long_ago)]})
    first = live_directory(api, file)
    first.reflectors["Pod"].list_all()
    ended = pod("former", started_ns=long_ago)
    ended["status"]["containerStatuses"] = [
        {"state": {"terminated": {"startedAt": rfc3339(long_ago), "finishedAt": rfc3339(now_ns - 30 * NS_PER_SECOND)}}}
    ]
    first.apply_event(WatchTarget(PODS), WatchEvent("DELETED", ended, "9"))
    first.close()
    api.lists["pods"] = [pod("latter", started_ns=now_ns - NS_PER_SECOND)]
    second = live_directory(api, file)
    second.restore()
    second.reflectors["Pod"].list_all()
    assert names(second, now_ns - 300 * NS_PER_SECOND, now_ns - 33 * NS_PER_SECOND) == ["former", "former"]
    (interval,) = second.directory.explain("10.244.0.10")
    assert (interval["name"], interval["sureTo"]) == ("other", rfc3339(first.through_ns["Pod"] - REPORT_NS))
    assert second.metrics.restores.labels("restored")._value.get() == 1
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("spoil", ["cut", "bit", "empty", "other", "link"])
def test_file_that_is_not_what_was_written_is_ignored_and_counted(spoil: str, tmp_path: Path) -> None:
    """Then times before the start are not answered: no interval is better than a wrong one."""
    file = tmp_path / "intervals"
    first = live_directory(ScriptedApi({"pods": [pod("a")]}), file)
    first.reflectors["Pod"].list_all()
    first.save()
    content = file.read_bytes()
    middle = len(content) // 2
    if spoil == "link":
        file.rename(tmp_path / "real")
        file.symlink_to(tmp_path / "real")
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"cut": content[:middle], "empty": b"", "other": b"hello\n" + content, "bit": flipped}[spoil])
    assert remembered_by(file) == (0, "corrupt")


def test_no_flipped_bit_is_believed(tmp_path: Path) -> None:
    """Wherever it is: one without meaning (gzip's own time and system) leaves the file's content as it was."""
    file, now_ns = tmp_path / "intervals", time.time_ns()
    directory = Directory()
    directory.apply("Pod", pod("a"), 1)
    assert snapshot_file.write(file, snapshot.state_of(directory, {"Pod": 1}, now_ns)) == "written"
    content = file.read_bytes()
    whole = snapshot_file.decode(content)
    for place in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        found, result = snapshot_file.read(file, now_ns, NS_PER_SECOND)
        assert result == "corrupt" or (result == "restored" and found == whole), place


@pytest.mark.parametrize(("age_seconds", "result"), [(-3600, "stale"), (3600, "stale"), (600, "restored")])
def test_file_of_the_future_or_older_than_what_is_kept_is_ignored(
    age_seconds: int, result: str, tmp_path: Path
) -> None:
    """The directory keeps a window's length and 15 minutes; a clock that was wrong then is not believed now."""
    file = tmp_path / "intervals"
    directory = Directory()
    directory.apply("Pod", pod("a"), 1)
    saved_ns = time.time_ns() - age_seconds * NS_PER_SECOND
    assert snapshot_file.write(file, snapshot.state_of(directory, {"Pod": 1}, saved_ns)) == "written"
    assert remembered_by(file) == (int(result == "restored"), result)


def remembered_by(file: Path) -> tuple[int, str]:
    """How many pods a new process knows from a file, and what it counts."""
    live = live_directory(ScriptedApi(), file)
    live.restore()
    results = ("absent", "corrupt", "stale", "restored")
    (counted,) = [one for one in results if live.metrics.restores.labels(one)._value.get() == 1]
    return len(live.directory.pods), counted


def test_everything_that_decides_an_answer_outlives_a_restart(tmp_path: Path) -> None:
    """Static pods, host ports, addresses of services, gaps: the same answers from the file."""
    directory = gke()
    directory.apply("Pod", marked("mirror", "n1", HASH, owner="n1"), 0)
    directory.apply("Pod", with_host_port("web", "10.244.0.51", {"hostPort": 8080, "hostIP": NODE}), 0)
    directory.add_unwatched("Service", 7 * NS_PER_SECOND, 9 * NS_PER_SECOND)
    now_ns = time.time_ns()
    assert snapshot_file.write(tmp_path / "file", snapshot.state_of(directory, {}, now_ns)) == "written"
    restored, _result = snapshot_file.read(tmp_path / "file", now_ns, NS_PER_SECOND)
    assert restored is not None
    restored.directory.selection = directory.selection  # the settings are not in the file
    asked = [Query(pod_uid=HASH, node=node) for node in ("n1", "n2", None)]
    for address in (NODE, "10.96.0.20", "198.51.100.2", "198.51.100.3", "198.51.100.7", "10.244.0.51"):
        for port in (443, 8080, 30080):
            asked += [Query(address, port, at_ns, at_ns) for at_ns in (8 * NS_PER_SECOND, 500 * NS_PER_SECOND)]
    answers = [directory.answer(query) for query in asked]
    assert [restored.directory.answer(query) for query in asked] == answers
    assert {answer.reason for answer in answers} >= {"host_port", "node_port", "port_not_served", "not_watched_then"}


def test_file_of_an_older_version_is_ignored(tmp_path: Path) -> None:
    """Version 1 has aliases that anybody could write: it is not believed."""
    state = snapshot.state_of(Directory(), {}, time.time_ns())
    state.version = 1
    assert snapshot_file.write(tmp_path / "file", state) == "written"
    assert snapshot_file.read(tmp_path / "file", time.time_ns(), NS_PER_SECOND) == (None, "corrupt")
