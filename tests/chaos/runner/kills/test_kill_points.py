"""A runner that is killed at any of its events, and comes again: never twice, nothing left, the right phase."""

from pathlib import Path

import pytest

from tests.chaos.runner.conftest import Site, Workload
from tests.chaos.runner.faults.test_injectors import ManagedWorkload, task
from tests.chaos.runner.faults.test_injectors import workload as managed_workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig
from tests.chaos.runner.faults.test_pod_delete import task as pod_delete_task
from tests.chaos.runner.kills.killing_proxy import KillingProxy, Side
from tests.chaos.runner.kubelet import Kubelet

pytestmark = [pytest.mark.cluster, pytest.mark.long]
managed = managed_workload  # a fixture


class Deletions:
    """The pods of a workload that were there and are not any more."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.first = self.uids()

    def uids(self) -> set[str]:
        """The pods that are there."""
        return {pod["metadata"]["uid"] for pod in self.workload.list_pods()}

    def count(self) -> int:
        """How many of the first ones are gone, if each was deleted at most once."""
        return len(self.first - self.uids())


def run_twice(site: Site, identity: Path, ids: dict[str, str], proxy: KillingProxy, **more: str) -> str:
    """Run until the proxy has killed the runner, then let another one finish; the run's phase."""
    direct, site.url = site.url, proxy.url
    try:
        first = site.start(ids, identity, **more)
        proxy.pid = first.pid
        assert first.wait(60) != 0
    finally:
        site.url = direct
    assert proxy.events >= proxy.number
    assert site.start(ids, identity, **more).wait(90) is not None
    run = site.run(ids)
    assert run["completed"]
    phase: str = run["phase"]
    return phase


def killed_at(*rows: tuple[str, int, Side, str, int]) -> pytest.MarkDecorator:
    """A case per row: its name, the event at which the runner is killed; the run's phase then, and how many faults."""
    points = [pytest.param(*row, id=says) for says, *row in rows]
    return pytest.mark.parametrize(("number", "side", "phase", "times"), points)


@killed_at(
    ("begin of the run is not stored", 1, "before", "Completed", 1),
    ("begin of the run is stored", 1, "after", "Completed", 1),
    ("begin of the step is not stored", 2, "before", "Completed", 1),
    ("begin of the step is stored, nothing is injected", 2, "after", "Error", 0),
    ("end of the step is not stored", 3, "before", "Error", 1),
    ("end of the step is stored", 3, "after", "Completed", 1),
    ("end of the run is not stored", 4, "before", "Completed", 1),
    ("end of the run is stored", 4, "after", "Completed", 1),
)
def test_killed_runner_deletes_at_most_once(
    site: Site, workload: Workload, number: int, side: Side, phase: str, times: int
) -> None:
    """What is not known to have been made is an error, and is not made again."""
    tasks = [pod_delete_task("only", site.namespace, TOTAL_CHAOS_DURATION="1")]
    ids, identity = site.order(tasks, [["only"]]), kubeconfig(site, tasks)
    deletions = Deletions(workload)
    with KillingProxy(site.url, number, side) as proxy:
        found = run_twice(site, identity, ids, proxy)
        proxy.shutdown()
    assert (found, deletions.count()) == (phase, times)


@pytest.mark.kernel
@killed_at(
    ("injectors are not stored", 3, "before", "Error", 0),
    ("injectors are stored, nothing is injected", 3, "after", "Error", 0),
    ("end of the step is not stored", 4, "before", "Error", 1),
    ("end of the step is stored", 4, "after", "Completed", 1),
)
def test_killed_runner_leaves_no_injector_and_injects_at_most_once(
    site: Site,
    kubelet: Kubelet,
    managed: ManagedWorkload,
    report_url: str,
    number: int,
    side: Side,
    phase: str,
    times: int,
) -> None:
    """Injectors that were ready and had not the word never inject; those of the first runner are gone."""
    one = task(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="2", CPU_LOAD="10")
    ids, identity = site.order([one], [["only"]]), kubeconfig(site, [one])
    with KillingProxy(site.url, number, side) as proxy:
        assert run_twice(site, identity, ids, proxy, DDCR_ENDPOINT=report_url) == phase
        proxy.shutdown()
    assert (site.folder / "runner.log").read_text().count('"event": "fault_injected"') == times
    site.wait(lambda: not kubelet.pods_left() and not kubelet.hogs())
    assert len(kubelet.seen) == 1
