"""The cost table reads cgroups of both versions, and counts a request once however often its log names it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from lab.real_cluster import audit
from lab.real_cluster.installed import resource_usage
from podsonar.errors import ApiServerError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, rfc3339

SECOND = NS_PER_SECOND
FILES = {
    "v1": {
        "cpuacct.usage": "1500000000\n",
        "memory.usage_in_bytes": "5000\n",
        "memory.stat": "cache 2\nrss 1\ntotal_inactive_file 1000\ntotal_rss 3000\n",
    },
    "v2": {
        "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\n",
        "memory.current": "5000\n",
        "memory.stat": "anon 3000\nfile 2000\ninactive_file 1000\n",
    },
}


def group(folder: Path, version: str) -> Path:
    """A pod's cgroup as a kernel with that version shows it."""
    folder.mkdir(exist_ok=True)
    for name, content in FILES[version].items():
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize("version", FILES)
def test_cpu_and_memory_are_read_from_either_version(tmp_path: Path, version: str) -> None:
    """Seconds; working set without the idle page cache; anonymous memory of the whole tree."""
    folder = group(tmp_path, version)
    assert resource_usage.cpu_seconds_of(folder) == 1.5
    assert resource_usage.memory_of(folder) == resource_usage.Memory(working_set=4000, anonymous=3000)


def test_pod_without_a_counting_cgroup_raises(tmp_path: Path) -> None:
    """A pod that cannot be measured is not a row of zeros."""
    with pytest.raises(ApiServerError, match=r"pod a: no cgroup with cpuacct\.usage or cpu\.stat"):
        resource_usage.folder_with([tmp_path], "a", "cpuacct.usage", "cpu.stat")


class Meanwhile(threading.Event):
    """Waits for no time: at the first wait the window begins, at the second something happens, at the third it ends."""

    def __init__(self, happen: Callable[[], None]) -> None:
        super().__init__()
        self.happen, self.waits = happen, 0

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended."""
        self.waits += 1
        if self.waits == 2:
            self.happen()
        elif self.waits == 3:
            self.set()
        return self.is_set()


def test_row_has_the_seconds_of_the_window_and_the_highest_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPU is the difference between start and end; memory what was seen in between."""
    folder = group(tmp_path, "v1")
    monkeypatch.setattr(
        resource_usage,
        "pods",
        lambda _cluster: [resource_usage.MeasuredPod("p", "collector", "node-a", folder, folder)],
    )
    start_ns = time.time_ns()

    def work() -> None:
        (folder / "cpuacct.usage").write_text("2000000000\n")
        (folder / "memory.usage_in_bytes").write_text(f"{41 << 20}\n")

    stop = Meanwhile(work)
    (usage,) = resource_usage.measure(None, Window(start_ns, start_ns + 3600 * SECOND), stop)  # type: ignore[arg-type]
    assert len(usage.samples) == 2
    assert usage.cpu_seconds == 0.5
    assert usage.row(10).split() == ["collector", "node-a", "0.50", "s", "5.00", "%", *usage.row(10).split()[6:]]
    assert usage.row(10).endswith("41.0 MiB")


def line(identity: str, at_ns: int, **more: object) -> bytes:
    """A line of an audit log."""
    event = {
        "auditID": identity,
        "requestReceivedTimestamp": rfc3339(at_ns),
        "requestURI": "/api/v1/pods?watch=1",
        "verb": "watch",
        "user": {"username": "system:serviceaccount:podsonar:podsonar-collector"},
        "userAgent": "podsonar-collector",
        "objectRef": {"resource": "pods"},
    }
    return orjson.dumps({**event, **more}) + b"\n"


def test_requests_of_a_window_are_counted_once() -> None:
    """A watch that began in the window, not one from before; a subresource by its name; a path without an object."""
    start_ns = 1_700_000_000 * SECOND
    kubelet = {"user": {"username": "system:node:a"}, "userAgent": "kubelet/v1.34 (linux)", "verb": "patch"}
    lines = [
        line("old", start_ns - 1_000_000),
        line("watch", start_ns),
        line("watch", start_ns),
        line("status", start_ns + SECOND, **kubelet, objectRef={"resource": "nodes", "subresource": "status"}),
        line("health", start_ns + SECOND, **kubelet, objectRef={}, requestURI="/readyz?verbose"),
        line("peek", start_ns + SECOND, verb="list", requestURI="/api/v1/pods?limit=1"),
        line("next", start_ns + 30 * SECOND),
        line("unfinished", start_ns)[:50],
    ]
    found = list(audit.requests(lines, Window(start_ns, start_ns + 30 * SECOND)))
    assert [one.resource for one in found] == ["pods", "nodes/status", "/readyz", "pods"]
    assert audit.by_program(found) == {"podsonar-collector": 2, "kubelet": 2}
    assert [one.what for one in resource_usage.requests_of(found, "collector")] == ["watch pods", "peek pods"]
    assert resource_usage.requests_of(found, "node-agent") == []


def test_table_of_requests_names_what_was_asked_more_than_once() -> None:
    """Programs by number; Podsonar's parts by verb, a part that asked nothing too."""
    user = f"{resource_usage.ACCOUNT}podsonar-collector"
    asked = [audit.AuditedRequest(user, "podsonar-collector", "watch", "pods") for _ in range(2)]
    asked += [audit.AuditedRequest(user, "podsonar-collector", "list", name, 500) for name in ("pods", "nodes")]
    asked += [audit.AuditedRequest(resource_usage.ANONYMOUS, "curl/8", "get", "/version")]
    assert resource_usage.request_lines(asked) == [
        "      4  podsonar-collector",
        "      1  curl",
        "  collector: 4",
        "    list: nodes, pods",
        "    watch: 2 x pods",
        "  manager: none",
        "  node-agent: none",
        "  without a name: 1",
    ]
