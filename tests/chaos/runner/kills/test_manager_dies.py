"""A manager that is killed twice at each event of a run, before it arrives and after it is stored."""

import secrets
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from manager.store.database import Store
from manager.store.experiments.tables import RUN_EVENTS
from manager.store.tokens.issued import create_token
from tests.chaos.runner.conftest import Site
from tests.chaos.runner.faults.test_injectors import ManagedWorkload, task
from tests.chaos.runner.faults.test_injectors import workload as managed_workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, verdicts
from tests.chaos.runner.faults.test_pod_delete import task as pod_delete_task
from tests.chaos.runner.kills.dying_manager import DyingManager
from tests.chaos.runner.kills.test_kill_points import Deletions
from tests.chaos.runner.kubelet import Kubelet

managed = managed_workload  # a fixture
KILL_POINTS = 14  # begin of the run; begin and end of the first step; begin, injectors and end of the second; end


@pytest.mark.cluster
@pytest.mark.kernel
@pytest.mark.long
def test_killed_manager_loses_no_event_and_nothing_is_injected_twice(
    site: Site, kubelet: Kubelet, managed: ManagedWorkload, report_url: str, tmp_path: Path
) -> None:
    """The run ends as if nothing had been: each event is stored once, each fault was made once, and nothing is left."""
    tasks = [
        pod_delete_task("first", site.namespace, TOTAL_CHAOS_DURATION="1"),
        task(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="2", CPU_LOAD="10"),
    ]
    with ExitStack() as stack:
        dying = DyingManager(tmp_path, stack)
        store = stack.enter_context(closing(Store(dying.database)))
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes).text()
        own = replace(site, url=dying.manager.url, store=store, admin=admin)
        ids = own.order(tasks, [["first"], ["only"]])
        deletions = Deletions(managed)
        own.url = dying.url
        assert own.start(ids, kubeconfig(own, tasks), DDCR_ENDPOINT=report_url).wait(200) == 0
        own.url = dying.manager.url
        run = own.run(ids)
        dying.shutdown()
        dying.server_close()
        with store.reading() as connection:
            rows = connection.execute(select(RUN_EVENTS.c.sha256).where(RUN_EVENTS.c.run_id == ids["runID"]))
            stored = list(rows.scalars())
    assert verdicts(run) == {"first": ("Completed", "Pass"), "only": ("Completed", "Pass")}
    assert (run["phase"], run["completed"], dying.kills) == ("Completed", True, KILL_POINTS)
    assert sorted(stored) == sorted(dying.attempts)
    assert deletions.count() == 1
    assert (site.folder / "runner.log").read_text().count('"event": "fault_injected"') == 1
    site.wait(lambda: not kubelet.pods_left() and not kubelet.hogs())
    assert len(kubelet.seen) == 1
