"""open_connections.py: open connections of a network namespace that others share with a pod are no pod's."""

import os
from pathlib import Path

import pytest

from node_agent.capture.open_connections import scan
from node_agent.capture.window_capture import pod_of

POD = "2dc5e8c6-1111-4222-8333-944444444444"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
# 10.1.0.2:40001 → 10.1.0.3:8080, established, inode 77
ROW = (
    "   0: 0200010A:9C41 0300010A:1F90 01 00000000:00000000 00:00000000 00000000     0        0 77 1 x 20 4 30 10 -1\n"
)
POD_GROUP = f"0::/kubepods/besteffort/pod{POD}/{'c' * 64}\n"


def process(folder: Path, pid: int, group: str, namespace: Path) -> None:
    """A process as `/proc` shows it: its cgroup, and the socket table that its network namespace has."""
    (folder / str(pid) / "net").mkdir(parents=True)
    (folder / str(pid) / "cgroup").write_text(group)
    os.link(namespace, folder / str(pid) / "net" / "tcp")


@pytest.mark.parametrize(
    ("group", "sources"),
    [
        pytest.param("0::/system.slice/kubelet.service\n", [], id="the node's own network"),
        pytest.param(POD_GROUP, [POD], id="a second process of the pod"),
    ],
)
def test_sockets_are_a_pods_only_when_its_namespace_is(tmp_path: Path, group: str, sources: list[str]) -> None:
    """A kubelet's connections are not those of a pod in the node's network, whichever process 1 is."""
    namespaces = {name: tmp_path / name for name in ("machine", "node")}
    namespaces["machine"].write_text(HEADER)
    namespaces["node"].write_text(HEADER + ROW)
    proc = tmp_path / "proc"
    process(proc, 1, "0::/init.scope\n", namespaces["machine"])
    process(proc, 20, POD_GROUP, namespaces["node"])
    process(proc, 30, group, namespaces["node"])
    assert [flow.pod_uid for flow in scan(proc, pod_of, set, 7).flows] == sources
