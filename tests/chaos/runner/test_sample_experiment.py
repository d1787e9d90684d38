"""The document's own experiment as it is written: pod-delete, then pod-cpu-hog, with its durations and its probe."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.chaos.runner.conftest import INFRA, TENANT, Site
from tests.chaos.runner.faults.test_injectors import ManagedWorkload, own_deployment
from tests.chaos.runner.faults.test_pod_delete import identity_of, verdicts
from tests.chaos.runner.kubelet import Kubelet
from tests.manager.conftest import CLIENT

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.long]

FILE = Path(__file__).parents[1] / "control" / "experiments" / "samples" / "experimentrun.json"
SAMPLE = orjson.loads(FILE.read_bytes())["data"]["experimentYaml"]
DEMO = "demo"


@pytest.fixture
def nodes(site: Site) -> Iterator[tuple[Kubelet, list[ManagedWorkload]]]:
    """The node of the targets' namespace and both workloads of the sample; injectors run on another."""
    site.plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DEMO}}])
    log = site.folder / "runner.log"
    targets, injectors = Kubelet(site.plane, DEMO, log), Kubelet(site.plane, site.namespace, log)
    made = [ManagedWorkload(site.plane, DEMO, name, 2) for name in ("podtato-hats", "podtato-left-leg")]
    for one in made:
        site.wait(lambda one=one: sum(pod.get("status", {}).get("phase") == "Running" for pod in one.list_pods()) == 2)
    yield targets, made
    for one in made:
        one.end()
    targets.end()
    injectors.end()


def test_sample_runs_as_it_is_written(
    site: Site, nodes: tuple[Kubelet, list[ManagedWorkload]], report_url: str
) -> None:
    """Both steps pass within 150 s; the hog is in one container of the left leg; its probe is defined nowhere."""
    targets, (hats, left_leg) = nodes
    own_deployment(site)
    order = orjson.dumps({"infraID": INFRA, "experiment": SAMPLE})
    headers = {"X-API-Key": site.admin}
    made = CLIENT.post(f"{site.url}/v1/chaos/runs", params=TENANT, headers=headers, content=order)
    assert made.status_code == 201, made.text
    ids: dict[str, str] = made.json()
    first = {pod["metadata"]["uid"] for pod in hats.list_pods()}
    process = site.start(ids, identity_of(site, SAMPLE), DDCR_ENDPOINT=report_url)
    site.wait(targets.hogs, 120)
    assert set(targets.hogs()) < {pod["metadata"]["uid"] for pod in left_leg.list_pods()}
    assert process.wait(150) == 0
    run = site.run(ids)
    assert (run["phase"], run["resiliencyScore"], run["faultsPassed"]) == ("Completed", 100, 2), run["executionData"]
    assert verdicts(run) == {"pod-delete-wm3": ("Completed", "Pass"), "pod-cpu-hog-pys": ("Completed", "Pass")}
    execution = run["executionData"]
    assert int(execution["finishedAt"]) - int(execution["startedAt"]) <= 150
    assert execution["nodes"]["api-payload-test-pod-delete-wm3"]["message"] == "3 pods deleted"
    assert first - {pod["metadata"]["uid"] for pod in hats.list_pods()}
    assert not targets.hogs()
