"""The logs that a real runner writes into a real manager: every step's own stream, whatever happens to the manager."""

import secrets
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.chaos.runner.conftest import Site, Workload
from tests.chaos.runner.faults.test_injectors import ManagedWorkload
from tests.chaos.runner.faults.test_injectors import task as injected
from tests.chaos.runner.faults.test_injectors import workload as managed_workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, task, verdicts
from tests.chaos.runner.gate import Gate
from tests.chaos.runner.kubelet import Kubelet
from tests.chaos.runner.probes.test_step_probes import command, step
from tests.manager.conftest import CLIENT
from tests.manager.manager_process import manager_process

pytestmark = [pytest.mark.cluster, pytest.mark.long]

managed = managed_workload  # a fixture


def settings(ids: dict[str, str], url: str) -> dict[str, str]:
    """What the runner's manifests say of the log service."""
    return {
        "LOG_SERVICE_ENABLED": "true",
        "LOG_SERVICE_ENDPOINT": f"{url}/log-service",
        "LOG_SERVICE_TOKEN": ids["logToken"],
    }


def ask(site: Site, path: str, **query: str) -> Any:
    """The manager's answer to a person."""
    return CLIENT.get(
        f"{site.url}{path}", params={"accountID": "acc"} | query, headers={"X-API-Key": site.admin}, timeout=30
    )


def lines(site: Site, ids: dict[str, str], name: str) -> list[str]:
    """What the log of a step says, in order."""
    answer = ask(site, "/log-service/blob", key=f"{ids['runID']}-{name}")
    assert answer.status_code == 200, answer.text
    return [orjson.loads(line)["out"] for line in answer.content.splitlines()]


def info(site: Site, ids: dict[str, str], name: str) -> dict[str, Any]:
    """What is known of a step's stream."""
    found: dict[str, Any] = ask(site, f"/v1/logs/{ids['runID']}-{name}/info").json()
    return found


def in_order(wanted: list[str], found: list[str]) -> bool:
    """Whether some texts stand in lines, each behind the one before."""
    left = iter(found)
    return all(any(text in line for line in left) for text in wanted)


def test_each_step_tells_its_fault_and_its_probes_and_closes(site: Site, workload: Workload) -> None:
    """Tries and verdicts are there, what a probe's command wrote is not; the stream is the node's, complete, closed."""
    probes = [
        command("fine", "echo ok"),
        command("wrong", "echo s3cr3t-canary; echo e-canary >&2", attempt=2, interval="200ms"),
        command("nowhere", "./h-canary"),
    ]
    tasks = [
        step(site, "passes", "web", ("fine", "Edge"), ("fine-not-there", "SOT"), TOTAL_CHAOS_DURATION="1"),
        step(site, "fails", "web", ("wrong", "EOT"), TOTAL_CHAOS_DURATION="1"),
        step(site, "broken", "web", ("nowhere", "SOT")),
    ]
    ids = site.order(tasks, [[one["name"]] for one in tasks], probes=probes)
    process = site.start(ids, kubeconfig(site, tasks, probes=probes), **settings(ids, site.url))
    assert process.wait(90) is not None
    nodes = {one["name"]: one for one in site.run(ids)["executionData"]["nodes"].values()}
    of = {name: lines(site, ids, name) for name in ("passes", "fails", "broken")}
    assert in_order(
        [
            "step passes begins: pod-delete",
            "probe fine-not-there is not defined",
            "probe fine PreChaos: Passed in ",
            f"pod {site.namespace}/web-",
            "pods deleted",
            "probe fine PostChaos: Passed in ",
            "probe fine, Edge: Passed, 2 of 2 rounds passed",
            "verdict Pass",
        ],
        of["passes"],
    ), of["passes"]
    assert in_order(
        ["probe wrong tried in vain", "probe wrong PostChaos: Failed", "Failed, 0 of 1 rounds", "verdict Fail"],
        of["fails"],
    ), of["fails"]
    assert in_order(["probe nowhere PreChaos: Error in ", "verdict Error, E2008: CMD_PROBE_ERROR"], of["broken"])
    assert of["broken"][1].endswith("unable to run command, exit status 127")
    for name, found in of.items():
        key = f"{ids['runID']}-{name}"
        assert nodes[name]["chaosData"]["streamID"] == key
        about = info(site, ids, name)
        assert (about["isOpen"], about["gaps"], about["notKept"], about["implicitOpens"]) == (False, [], 0, 0)
        assert about["lines"] == about["lastPos"] == len(found)
    everything = "\n".join(text for texts in of.values() for text in texts)
    assert not [text for text in ("canary", ids["accessKey"], ids["logToken"]) if text in everything]


def test_token_writes_its_own_run_alone(site: Site, workload: Workload) -> None:
    """Another run's stream: 403; another account's: 403."""
    tasks = [task("only", site.namespace)]
    own, other = (site.order(tasks, [["only"]]) for _ in range(2))

    def write(key: str, account: str = "acc") -> int:
        headers = {"X-Harness-Token": own["logToken"]}
        query = {"accountID": account, "key": key}
        return CLIENT.put(f"{site.url}/log-service/stream", params=query, headers=headers, content=b"[]").status_code

    assert write(f"{own['runID']}-only") == 204
    assert write(f"{other['runID']}-only") == 403
    assert write(f"{own['runID']}-only", "another") == 403


def test_log_service_that_never_answers_changes_nothing(site: Site, workload: Workload) -> None:
    """The run passes as without one, in about the same time, and its runner counts the lost lines."""
    tasks = [task("only", site.namespace, TOTAL_CHAOS_DURATION="1")]
    identity, times = kubeconfig(site, tasks), []
    for more in ({}, {"LOG_SERVICE_ENABLED": "true", "LOG_SERVICE_ENDPOINT": "http://127.0.0.1:9/log-service"}):
        ids = site.order(tasks, [["only"]])
        begun = time.monotonic()
        process = site.start(ids, identity, **more, LOG_SERVICE_TOKEN=ids["logToken"])
        site.wait(lambda ids=ids: site.run(ids)["completed"])
        times.append(time.monotonic() - begun)
        assert process.wait(20) == 0
        run = site.run(ids)
        assert verdicts(run) == {"only": ("Completed", "Pass")}
        node = run["executionData"]["nodes"][f"{run['experimentName']}-only"]
        assert node["chaosData"]["streamID"] == (f"{ids['runID']}-only" if more else "")
    assert times[1] < times[0] + 5
    assert '"event": "step_log_lines_lost"' in (site.folder / "runner.log").read_text()


@pytest.mark.kernel
def test_step_with_an_injector_tells_what_was_injected_where(
    site: Site, kubelet: Kubelet, managed: ManagedWorkload, report_url: str
) -> None:
    """Which node and pod, ready, told, injected, released with its counters: the injector's words by its runner."""
    tasks = [injected(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="2", CPU_LOAD="10")]
    ids = site.order(tasks, [["only"]])
    process = site.start(ids, kubeconfig(site, tasks), DDCR_ENDPOINT=report_url, **settings(ids, site.url))
    assert process.wait(90) == 0
    node = next(one for one in site.run(ids)["executionData"]["nodes"].values() if one["name"] == "only")
    (helper,) = node["chaosData"]["helperPodDetails"]
    assert helper["logStreamID"] == f"{ids['runID']}-only"
    found = lines(site, ids, "only")
    name = helper["name"]
    wanted = [
        "step only begins: pod-cpu-hog",
        f"injector {name} on ",
        ": ready, has found container c of pod ",
        "inject: told to 1 injectors, for 2 s",
        "injected cpu-stress",
        "release: told to 1 injectors",
        "released by G",
        "verdict Pass",
    ]
    assert in_order(wanted, found), found
    (metadata,) = [one["metadata"] for one in kubelet.seen.values()]
    assert metadata["name"] == name


def test_manager_that_is_killed_and_comes_back_has_every_line(site: Site, workload: Workload, tmp_path: Path) -> None:
    """Lines of the time without a manager come after its return, in order, each once; the step goes on meanwhile."""
    probes = [command("wrong", "echo no", probePollingInterval="200ms")]
    tasks = [step(site, "only", "web", ("wrong", "OnChaos"), TOTAL_CHAOS_DURATION="9", CHAOS_INTERVAL="1")]
    database = f"sqlite:///{tmp_path}/manager.db"
    with ExitStack() as stack:

        def begin(name: str) -> Any:
            (tmp_path / name).mkdir()
            return stack.enter_context(manager_process(tmp_path / name, database))

        manager = begin("first")
        gate = stack.enter_context(Gate(manager.url))
        store = stack.enter_context(closing(Store(database)))
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes).text()
        own = replace(site, url=gate.url, store=store, admin=admin)
        ids = own.order(tasks, [["only"]], probes=probes)
        identity = kubeconfig(own, tasks, probes=probes)
        process = own.start(ids, identity, **settings(ids, gate.url))
        own.wait(lambda: ask(own, "/log-service/blob", key=f"{ids['runID']}-only").status_code == 200)
        own.wait(lambda: any("deleted" in text for text in lines(own, ids, "only")))
        gate.close()
        manager.process.kill()
        manager.process.wait()
        deleted = (site.folder / "runner.log").read_text().count("deleted")
        own.wait(lambda: (site.folder / "runner.log").read_text().count("deleted") > deleted + 1)
        assert process.poll() is None
        second = begin("second")
        gate.open(second.url)
        own.wait(lambda: process.poll() is not None, 90)
        assert verdicts(own.run(ids)) == {"only": ("Completed_With_Probe_Failure", "Fail")}
        found, about = lines(own, ids, "only"), info(own, ids, "only")
    written = [
        orjson.loads(line)["text"]
        for line in (site.folder / "runner.log").read_text().splitlines()
        if '"event": "step_log"' in line
    ]
    assert found == written
    assert (about["gaps"], about["conflicts"], about["isOpen"], about["lines"]) == ([], 0, False, len(found))
