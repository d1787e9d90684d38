"""The directory against a real API server: watch lists, bookmarks, cuts, 410, and a kill in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cluster_api.client import ApiClient
from cluster_api.watch_stream import PROBES, WatchStream
from collector.directory.live_directory import LiveDirectory
from directory.lookup import Directory
from directory.selection import Selection
from lab.controlplane.server import ControlPlane
from podsonar.directory_answer import Query
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.cluster.cuttable import Cuttable
from tests.cluster.rights import wait_until_listed
from tests.cluster.test_collector import may

ADDRESS = "10.244.7.44"
SECOND = NS_PER_SECOND
KEEPING = """
import sys, time
from pathlib import Path
from cluster_api.client import ApiClient
from cluster_api.watch_stream import PROBES, WatchStream
from collector.directory.live_directory import LiveDirectory
from directory.lookup import Directory
from podsonar.directory_answer import Query
live = LiveDirectory(ApiClient.connect(Path(sys.argv[1])), Directory(), None, 60.0, 0.05, file=Path(sys.argv[2]))
live.start()
while True:
    time.sleep(0.05)
    saves = live.metrics.saves.labels("written")._value.get()
    if live.synced and saves > 3:
        times = live.explained([Query(sys.argv[3])])[0]
        print(all(one["maybeTo"] for one in times), saves, flush=True)
"""


def seconds(at_ns: int) -> str:
    """A time as a kubelet writes it."""
    return rfc3339(at_ns)[:19] + "Z"


def pod(name: str, address: str, started_ns: int, finished_ns: int | None = None) -> dict[str, Any]:
    """A pod whose container has run since a time, perhaps until another."""
    state: dict[str, Any] = {"running": {"startedAt": seconds(started_ns)}}
    if finished_ns:
        times = {"startedAt": seconds(started_ns), "finishedAt": seconds(finished_ns)}
        state = {"terminated": {"exitCode": 0, **times}}
    container = {"name": "app", "image": "app", "imageID": "", "ready": not finished_ns, "restartCount": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "node-a", "containers": [{"name": "app", "image": "app"}]},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": seconds(started_ns),
            "containerStatuses": [{**container, "state": state}],
        },
    }


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[ControlPlane]:
    """One control plane for this file, with the collector's own rights."""
    documents = yaml.safe_load_all((repository / "deploy/rbac/collector.yaml").read_text())
    rules = next(one["rules"] for one in documents if one["kind"] == "ClusterRole")
    with ControlPlane(tmp_path_factory.mktemp("controlplane")) as running:
        running.apply(may("collector", rules))
        wait_until_listed(ApiClient.connect(running.kubeconfig_for("default", "collector")), "/api/v1/pods")
        yield running


def restart(plane: ControlPlane) -> None:
    """Another API server process over the same data: its watch cache begins now, older versions are expired."""
    process = plane.processes["kube-apiserver"]
    process.terminate()
    process.wait(30)
    plane.processes["kube-apiserver"] = subprocess.Popen(
        process.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=plane.folder
    )
    plane.wait_ready(time.monotonic() + 60)


def until(seen: Callable[[], object]) -> object:
    """What is seen, once it is so; fail after 45 s: a follower waits up to 30 s between its tries."""
    deadline = time.monotonic() + 45
    while not (found := seen()):
        assert time.monotonic() < deadline, "not seen within 45 s"
        time.sleep(0.02)
    return found


def names(live: LiveDirectory, address: str, *at_ns: int) -> list[str | None]:
    """Who is named for an address at each time."""
    return [answer.name for answer in live.answers([Query(address, 80, when, when) for when in at_ns])]


def known(live: LiveDirectory) -> None:
    """Return when everything is known up to the moment of the call."""
    asked_ns = time.time_ns()
    until(lambda: (live.request_progress(asked_ns), live.as_of_ns >= asked_ns)[1])


@pytest.fixture
def live(plane: ControlPlane) -> Iterator[LiveDirectory]:
    """A directory that follows the API server."""
    api = ApiClient.connect(plane.kubeconfig_for("default", "collector"))
    kept = LiveDirectory(api, Directory(Selection(orphaned=True)), None, 60.0)
    kept.start()
    until(lambda: kept.synced)
    yield kept
    kept.close()


@pytest.mark.cluster
def test_row_63_address_that_changes_hands_names_the_pod_that_had_it_then(
    plane: ControlPlane, live: LiveDirectory
) -> None:
    """The watch separates one pod's time of an address from the next one's, and never names the wrong pod."""
    now_ns = time.time_ns()
    former = pod("former", ADDRESS, now_ns - 60 * SECOND)
    plane.apply([former])
    plane.apply([pod("former", ADDRESS, now_ns - 60 * SECOND, now_ns - 20 * SECOND)])
    plane.delete(former)
    plane.apply([pod("latter", ADDRESS, now_ns - 15 * SECOND)])
    known(live)
    time.sleep(2.1)  # what was seen of the former until now may be two seconds wrong
    during_former, during_latter = now_ns - 40 * SECOND, time.time_ns()
    tenures = live.explained([Query(ADDRESS)])[0]
    assert [one["name"] for one in tenures] == ["former", "latter"]
    assert names(live, ADDRESS, during_former, during_latter) == ["former", "latter"]
    assert names(live, ADDRESS, now_ns - 18 * SECOND, now_ns - 3600 * SECOND) == [None, None]
    (both,) = live.answers([Query(ADDRESS, 80, during_former, during_latter)])
    assert (both.kind, both.reason) == ("Ambiguous", "several_owners")
    plane.delete(former | {"metadata": {"name": "latter", "namespace": "default"}})


@pytest.mark.cluster
def test_server_streams_its_lists_and_tells_how_far_it_has_come(plane: ControlPlane, live: LiveDirectory) -> None:
    """Watch lists and no page; a bookmark or an unmoved version proves that all is known; dead paths are cut."""
    metrics = live.metrics
    kinds = ("Pod", "Service", "Node", "EndpointSlice")
    assert [metrics.streamed.labels(kind)._value.get() for kind in kinds] == [1, 1, 1, 1]
    assert live.failures == {}
    follower = live.reflectors["Pod"]
    stream = until(lambda: follower.stream)  # there is none while one has ended and the next one is asked for
    assert isinstance(stream, WatchStream)
    sock = getattr(stream.response.connection, "sock", None)
    assert isinstance(sock, socket.socket)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in PROBES] == [3, 1, 2]
    for number in range(2):
        plane.apply([pod(f"moves-{number}", f"10.244.7.{number}", time.time_ns())])
        known(live)
    assert sum(metrics.bookmarks.labels(kind)._value.get() for kind in kinds) > 0
    assert [metrics.lists.labels(kind, "start")._value.get() for kind in kinds] == [1, 1, 1, 1]


@pytest.mark.cluster
def test_outage_with_an_expired_version_loses_no_interval_and_names_nobody_wrongly(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """Cut off, refused, then 410: who stayed has stayed, who went went at an honest time, who came is named after."""
    now_ns = time.time_ns()
    stays, goes = pod("stays", "10.244.7.50", now_ns - 60 * SECOND), pod("goes", "10.244.7.51", now_ns - 60 * SECOND)
    plane.apply([stays, goes])
    real = plane.kubeconfig_for("default", "collector").read_text()
    with Cuttable(urlsplit(plane.url).port or 0) as proxy:
        through = tmp_path / "kubeconfig"
        through.write_text(real.replace(plane.url, f"https://127.0.0.1:{proxy.port}"))
        live = LiveDirectory(ApiClient.connect(through), Directory(Selection(orphaned=True)), None, 60.0)
        live.start()
        try:
            until(lambda: live.synced)
            known(live)
            before = live.explained([Query("10.244.7.50")])[0]
            proxy.refusing = True
            proxy.cut()
            until(lambda: live.metrics.cuts.labels("Pod")._value.get() > 0)
            last_word_ns = live.through_ns["Pod"]
            plane.delete(goes)
            plane.apply([pod("comes", "10.244.7.51", time.time_ns())])
            restart(plane)
            back_ns = time.time_ns()
            proxy.refusing = False
            until(lambda: live.metrics.lists.labels("Pod", "expired")._value.get() == 1)
            known(live)
            assert live.explained([Query("10.244.7.50")])[0] == before
            ended, begun = live.explained([Query("10.244.7.51")])[0]
            assert (ended["name"], begun["name"]) == ("goes", "comes")
            assert ended["sureTo"] <= rfc3339(last_word_ns)
            assert ended["maybeTo"] >= rfc3339(back_ns)
            assert names(live, "10.244.7.51", now_ns - 30 * SECOND, back_ns) == ["goes", None]
            assert names(live, "10.244.7.50", now_ns - 30 * SECOND, back_ns) == ["stays", "stays"]
        finally:
            live.close()


@pytest.mark.cluster
def test_killed_collector_knows_again_what_it_knew(plane: ControlPlane, tmp_path: Path) -> None:
    """SIGKILL between or in its saves; the next process answers about a pod that was gone before."""
    now_ns = time.time_ns()
    kubeconfig, file = plane.kubeconfig_for("default", "collector"), tmp_path / "intervals"
    gone = pod("gone", "10.244.7.60", now_ns - 90 * SECOND)
    plane.apply([gone, pod("there", "10.244.7.61", now_ns - 90 * SECOND)])
    command = [sys.executable, "-c", KEEPING, str(kubeconfig), str(file), "10.244.7.60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        plane.apply([pod("gone", "10.244.7.60", now_ns - 90 * SECOND, now_ns - 10 * SECOND)])
        plane.delete(gone)
        saves = next(float(line.split()[1]) for line in process.stdout if line.startswith(b"True"))
        # One may have been under way. It is followed by 50 times its time without one: longer on a busy machine.
        assert any(float(line.split()[1]) >= saves + 2 for line in islice(process.stdout, 1200))
        process.send_signal(signal.SIGKILL)
    live = LiveDirectory(ApiClient.connect(kubeconfig), Directory(), None, 60.0, file=file)
    live.start()
    try:
        until(lambda: live.synced)
        known(live)
        assert names(live, "10.244.7.60", now_ns - 60 * SECOND, now_ns) == ["gone", None]
        assert names(live, "10.244.7.61", now_ns - 60 * SECOND, now_ns) == ["there", "there"]
        assert live.metrics.restores.labels("restored")._value.get() == 1
    finally:
        live.close()
