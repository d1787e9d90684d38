"""proc_sockets.py: open connections of a network namespace that others share with a pod are no pod's."""

import os
from pathlib import Path

import pytest

from node_agent.capture.open_connections.proc_sockets import Recent, scan
from node_agent.capture.process_table import cgroup_paths

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
    assert [flow.pod_uid for flow in scan(proc, lambda: Recent(set()), 7).flows] == sources


def test_pod_whose_first_process_has_no_table_is_read_by_another_one(tmp_path: Path) -> None:
    """The lowest process id may be a zombie, or live in a network of its own: every network of the pod is read."""
    table = tmp_path / "table"
    table.write_text(HEADER + ROW)
    nested = tmp_path / "nested"
    nested.write_text(HEADER)
    proc = tmp_path / "proc"
    (proc / "19").mkdir(parents=True)
    (proc / "19" / "cgroup").write_text(POD_GROUP)  # a zombie: no socket table
    process(proc, 20, POD_GROUP, nested)
    process(proc, 21, POD_GROUP, table)
    opened = scan(proc, lambda: Recent(set()), 7)
    assert [flow.pod_uid for flow in opened.flows] == [POD]
    assert opened.not_read == {}


def test_pod_that_no_process_shows_a_table_of_is_counted(tmp_path: Path) -> None:
    """All its processes are zombies: nothing is known of its connections, and that is counted."""
    (tmp_path / "19").mkdir()
    (tmp_path / "19" / "cgroup").write_text(POD_GROUP)
    assert scan(tmp_path, lambda: Recent(set()), 7) == ([], {}, {"pod_without_table": 1})


@pytest.mark.parametrize("folder", ["absent", "file"])
def test_folder_that_is_no_proc_is_counted_and_ends_nothing(tmp_path: Path, folder: str) -> None:
    """A wrong node.procFolder leaves every pod unread, in each window anew, and no error."""
    (tmp_path / "file").write_text("")
    assert scan(tmp_path / folder, lambda: Recent(set()), 7).not_read == {"proc_unreadable": 1}


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (b"0::/caf\xe9\n", [("caf\ufffd",)]),
        (b"", []),
        (b"no colons\n0::/a/b\n", [("b", "a")]),
        (b"0::/a:b:c\n", [("a:b:c",)]),
        (b"0::/\n", [()]),
        (b"0::/../pod\n", [("pod", "..")]),
    ],
)
def test_cgroup_of_any_bytes_is_names(content: bytes, paths: list[tuple[str, ...]]) -> None:
    """A name is any bytes but NUL and slash (cgroups(7)); lines of another form are passed over."""
    assert cgroup_paths(content) == paths
