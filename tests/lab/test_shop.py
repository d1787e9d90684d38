"""The demo's pods make the declared connects, and leave nothing behind."""

from pathlib import Path

import pytest

from lab.demo import shop
from lab.simulated import cgroups, network
from lab.simulated.pods import Lab

PREFIX = "sonartest"


def test_shop_declared_has_every_sort_of_edge() -> None:
    """At least twelve edges, with failed-only, IPv6, external, opened before and short-lived ones."""
    truths = [edge.truth() for edge in shop.EDGES]
    assert len(truths) >= 12
    assert any(truth["failed"] and not truth["established"] for truth in truths)
    assert any(":" in truth["destination"]["address"] for truth in truths)
    assert any(truth["destination"]["kind"] == "External" for truth in truths)
    assert any(truth["openedBefore"] for truth in truths)
    assert any(truth["shortLived"] for truth in truths)


@pytest.mark.kernel
def test_shop_started_makes_the_true_connects_and_cleans_up() -> None:
    """The counts of each pod's program are the truth; afterwards no namespace, process or cgroup is left."""
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in shop.objects() if item["kind"] == "Pod"}
    with Lab(PREFIX) as lab:
        shop.start_pods(lab, uids)
        pids = [pod.process.pid for pod in lab.pods.values()]
        done = shop.make_connects(lab, before_window=True) + shop.make_connects(lab, before_window=False)
        for edge in done:
            assert edge["program"]["established"] == edge["established"], edge
            assert edge["program"]["failed"] == edge["failed"], edge
        assert (
            f"pod{uids[shop.first_pods()['cart']]}"
            in Path(f"/proc/{lab.pods[shop.first_pods()['cart']].process.pid}/cgroup").read_text()
        )
    assert not list(network.NAMESPACE_FOLDER.glob(f"{PREFIX}-*"))
    assert not cgroups.runs_with_cgroups(PREFIX)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
