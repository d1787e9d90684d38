"""`podCgroups`: the cgroups of each pod whose records are delivered, down to the container, within bounds."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from delivery.batch import make_batch
from delivery.split_batch import split_batch
from node_agent.attribution.body.pod_cgroups import MOST_CHARACTERS, MOST_OF_POD, MOST_PODS, PodCgroups, container_path
from node_agent.capture.files import capture_file
from podsonar.json_gzip import inflate_within
from podsonar.model import AcceptedFlow, Capture
from tests.node_agent.stages import CGROUPS, START_NS, WEB, body, capture, flow, resolved

ID = "0123456789abcdef" * 4
SLICE = "kubepods-burstable-pod2dc5e8c6_0b0f_4b0e_9d0a_1f1e2d3c4b5a.slice"
NODE = ("kubelet", f"docker-{ID}.scope", "system.slice")


@pytest.mark.parametrize(
    ("names", "path"),
    [
        pytest.param((ID, f"pod{WEB}", "kubepods"), f"/kubepods/pod{WEB}/{ID}", id="cgroupfs"),
        pytest.param(
            (f"cri-containerd-{ID}.scope", SLICE, "kubepods-burstable.slice", "kubepods.slice"),
            f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{ID}.scope",
            id="systemd",
        ),
        pytest.param(
            ("container", f"crio-{ID}.scope", SLICE, "kubepods.slice"),
            f"/kubepods.slice/{SLICE}/crio-{ID}.scope",
            id="below the container",
        ),
        pytest.param(("the-secret", f"pod{WEB}", "kubepods"), f"/kubepods/pod{WEB}", id="no runtime's name"),
        pytest.param((f"pod{WEB}", "kubepods"), f"/kubepods/pod{WEB}", id="the pod's own"),
        pytest.param(
            (ID, f"{SLICE}:cri:abc", "system.slice"), f"/system.slice/{SLICE}:cri:abc", id="one name for both"
        ),
        pytest.param(
            (ID, f"pod{WEB}", "kubepods", *NODE), f"/system.slice/docker-{ID}.scope/kubelet/kubepods/pod{WEB}/{ID}",
            id="a node that is a container",
        ),
        pytest.param(
            (ID, "pod" + "ab" * 16, ID, f"pod{WEB}", "kubepods"), f"/kubepods/pod{WEB}/{ID}", id="a pod within the pod"
        ),
        pytest.param((ID, "pod" + "ab" * 16, "kubepods"), f"/kubepods/pod{'ab' * 16}/{ID}", id="a static pod's hash"),
        pytest.param((ID, f"pod{WEB}", *"abcdef"), f"…/f/e/d/c/b/a/pod{WEB}/{ID}", id="outer names are missing"),
        pytest.param((ID, f"pod{WEB}", "k" * 95), f"/{'k' * 95}…/pod{WEB}/{ID}", id="a name that was cut"),
        pytest.param(("sshd.service", "system.slice"), None, id="no pod's"),
        pytest.param(("/",), None, id="the root"),
        pytest.param((), None, id="no names"),
    ],
)  # fmt: skip
def test_path_ends_at_the_container(names: tuple[str, ...], path: str | None) -> None:
    """What is below was named by whoever may create cgroups in the pod."""
    assert container_path(names, WEB) == path


def test_long_path_keeps_its_end() -> None:
    """Pod and container are there."""
    path = container_path((ID, f"pod{WEB}", *["\u0416" * 47] * 5), WEB)
    assert path is not None
    assert len(path) <= MOST_CHARACTERS
    longest = container_path((ID, f"pod{WEB}", *["k" * 95] * 6), WEB)
    assert longest is not None
    assert len(longest) == MOST_CHARACTERS
    assert longest.startswith("…k")
    assert longest.endswith(f"/pod{WEB}/{ID}")


def with_names(taken: Capture, **names: tuple[str, ...]) -> Capture:
    """The capture with names of further cgroups, by `c` and the number."""
    return replace(taken, cgroups=CGROUPS | {int(number[1:]): of_one for number, of_one in names.items()})


def test_pods_of_delivered_records_are_listed_once() -> None:
    """Both ends count, each container once; the agent's own, processes of the node and pods by address do not."""
    flows = [
        flow(7, "10.96.0.10", 23),
        flow(7, "10.244.0.7", 3),
        flow(9, "10.96.0.10", 7),
        flow(10, "10.96.0.10", 2),
        flow(404, "10.96.0.10", 11, source="10.244.0.6"),
        flow(11, "127.0.0.1", 5),
    ]
    accepted = [AcceptedFlow(cgroup, "10.244.0.5", 80, "10.244.0.6", 13, START_NS, START_NS) for cgroup in (8, 12)]
    names = {f"c{cgroup}": (f"{ID[:-2]}{cgroup:02}", f"pod{WEB}") for cgroup in (7, 8, 11)}
    names["c12"] = ("inner", *names["c8"])
    found = body(resolved(with_names(capture(flows, accepted), **names)))
    assert found["podCgroups"] == {WEB: {"paths": [f"/pod{WEB}/{ID[:-2]}{cgroup:02}" for cgroup in (7, 8)]}}
    assert "podCgroupsLeftOut" not in found["observation"]


def restarts(number: int) -> dict[str, Any]:
    """The body of a window in which a pod had that many containers."""
    flows = [flow(cgroup, "10.96.0.10") for cgroup in range(100, 100 + number)]
    names = {f"c{cgroup}": (f"{cgroup:064x}", f"pod{WEB}") for cgroup in range(100, 100 + number)}
    return body(resolved(with_names(capture(flows), **names)))


def test_cgroups_beyond_a_pods_share_are_counted() -> None:
    """At the pod, and in the observation by name."""
    assert len(restarts(MOST_OF_POD)["podCgroups"][WEB]["paths"]) == MOST_OF_POD
    assert "more" not in restarts(MOST_OF_POD)["podCgroups"][WEB]
    many = restarts(MOST_OF_POD + 3)
    assert (len(many["podCgroups"][WEB]["paths"]), many["podCgroups"][WEB]["more"]) == (MOST_OF_POD, 3)
    assert many["observation"]["podCgroupsLeftOut"] == {"cgroups": 3}


def test_pods_beyond_the_bound_are_counted() -> None:
    """However many pods a node has, the member is bounded."""
    cgroups = PodCgroups({number: (ID, f"pod{number:032x}") for number in range(MOST_PODS + 2)})
    for number in range(MOST_PODS + 2):
        cgroups.add_accepted(f"{number:032x}", AcceptedFlow(number, "10.0.0.1", 80, "10.0.0.2", 1, 0, 0))
    member, left_out = cgroups.member()
    assert (len(member), left_out) == (MOST_PODS, {"pods": 2})
    assert len(orjson.dumps(member)) < MOST_PODS * 256


HOSTILE = ("\x1b]0;owned\x07\x1b[2J", "<img src=x onerror=alert(1)>", '"},{"\u202e\ufffd\n', f"pod{WEB}", "kubepods")


def test_replay_of_a_capture_has_the_same_cgroups() -> None:
    """Names of any bytes pass the file and the JSON; those below the pod that are no runtime's stay on the node."""
    taken = with_names(capture([flow(300, "10.96.0.10", 7), flow(301, "10.96.0.10", 7)]), c300=HOSTILE, c301=(
        HOSTILE[0], f"\x1b[31m-{ID}.scope", f"pod{WEB}", "kube\x1b[31m\ufffdpods"))  # fmt: skip
    bytes_of = [
        b"".join(resolved(one).content()) for one in (taken, capture_file.decode(capture_file.encode(taken), "x"))
    ]
    assert bytes_of[0] == bytes_of[1]
    expected = [f"/kubepods/pod{WEB}", f"/kube\x1b[31m\ufffdpods/pod{WEB}/\x1b[31m-{ID}.scope"]
    assert orjson.loads(bytes_of[0])["podCgroups"] == {WEB: {"paths": sorted(expected)}}


def test_halves_of_a_batch_both_have_them() -> None:
    """Records of either half are explained; a receiver takes the same twice as once."""
    outcome = resolved(capture([flow(7, "10.96.0.10"), flow(8, "10.244.0.7")]))
    halves = split_batch(make_batch(outcome.content(), "connections", capture([]).window, "id", 2))
    assert halves is not None
    parts = [orjson.loads(inflate_within(half.payload, 1 << 20)) for half in halves]
    assert [part["podCgroups"] for part in parts] == [outcome.head["podCgroups"]] * 2
    assert [len(part["connectionList"]) for part in parts] == [1, 1]
