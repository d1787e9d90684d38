"""A run of an observed shop that is over: its steps' times, and the windows that agents pushed around them."""

import secrets
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from manager.store.database import Store
from manager.store.tokens.issued import create_token
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.control.experiments.test_kserver import EVENT
from tests.chaos.control.experiments.test_kserver import TENANT as QUERY
from tests.chaos.observed_shop import CART, TENANT, ObservedShop
from tests.manager.conftest import CLIENT

STEP = "cut-cart"
BEGAN_SECONDS, STEP_SECONDS = 400, 60  # how long ago the step began, and how long it took


def manifest(**spec: Any) -> dict[str, Any]:
    """An experiment of one step that cuts `frontend → cart`, with a probe."""
    settings = {"TOTAL_CHAOS_DURATION": "60", "DESTINATION_SERVICE": "shop/cart", "POD_AFFECTED_PERCENTAGE": "100"}
    chaos = {"experiment": "edge-partition", "env": [{"name": key, "value": value} for key, value in settings.items()]}
    workloads = [{"kind": "deployment", "namespace": "shop", "names": "frontend", "labels": ""}]
    definition = {"targets": {"selectors": {"workloads": workloads}}, "chaos": chaos}
    probe = {"name": "shop-answers", "type": "httpProbe", "httpProbe/inputs": {"url": "http://shop.example/"}}
    return {
        "kind": "KubernetesChaosExperiment",
        "metadata": {"name": "cut", "namespace": "shop"},
        "spec": {
            "tasks": [
                {"name": STEP, "definition": definition, "probeRef": [{"probeID": "shop-answers", "mode": "Edge"}]}
            ],
            "steps": [[{"name": STEP}]],
            "probes": [probe],
            "hypothesis": {"breaks": [CART]},
            **spec,
        },
    }


@dataclass
class JudgedRun:
    """A run, a person's key that reads and stops it, and what agents push."""

    url: str
    infra: str
    ids: dict[str, str]
    key: str
    shop: ObservedShop
    began_ns: int

    def window(self, after_seconds: float, seconds: float = 20, **edges: Any) -> str:
        """A window that begins so long after the step began."""
        return self.shop.window(self.began_ns + int(after_seconds * NS_PER_SECOND), seconds, **edges)

    def post(self, *, completed: bool, phase: str = "Completed", verdict: str = "Pass") -> None:
        """What the runner says of its step."""
        path, key = f"{self.infra}/{self.ids['experimentID']}/{self.ids['runID']}", self.ids["accessKey"]
        base = f"{self.url}/chaos/kserver/api/infra/v2/task"
        found = CLIENT.get(f"{base}/experimentrun/{path}", params=QUERY, headers={"X-Access-Key": key}).json()
        execution = found["data"]["executionData"]
        began = self.began_ns // NS_PER_SECOND
        for node in execution["nodes"].values():
            node.update({"startedAt": str(began), "phase": phase})
            node.update({"finishedAt": str(began + STEP_SECONDS)} if completed else {})
            if node["type"] == "K8sTask":
                status = {"experimentVerdict": verdict, "experimentStatus": phase, "probeSuccessPercentage": "100"}
                stream = {"streamID": f"{self.ids['runID']}-{node['name']}", "lastUpdatedAt": str(began + 1)}
                node["chaosData"] |= status | stream
                node["message"] = "1 pods, released by G1; hit 20, seen 40" if completed else ""
        body = orjson.loads(orjson.dumps(EVENT)) | {"infraId": self.infra}
        body["args"] |= {"executionData": orjson.dumps(execution).decode(), "completed": str(completed).lower()}
        body["args"] |= {"infraID": self.infra, "notifyID": self.ids["notifyID"]}
        body["args"] |= {"workflowID": self.ids["experimentID"], "workflowRunID": self.ids["runID"]}
        headers = {"X-Access-Key": key}
        url = f"{base}/response/{self.infra}"
        answer = CLIENT.post(url, params=QUERY, headers=headers, content=orjson.dumps(body))
        assert answer.status_code == 200, answer.text

    def impact(self) -> dict[str, Any]:
        """What the map says of it."""
        headers = {"X-API-Key": self.key}
        answer = CLIENT.get(f"{self.url}/v1/chaos/runs/{self.ids['runID']}/impact", params=QUERY, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def order_run(url: str, database: str, **spec: Any) -> JudgedRun:
    """A new run of an infrastructure that an agent of this name observes, with nothing pushed but its inventory."""
    infra = f"shop-{secrets.token_hex(4)}"
    now_ns = time.time_ns()
    with closing(Store(database)) as store:
        shop = ObservedShop(url, store, infra, now_ns - 4000 * NS_PER_SECOND)
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes, tenant=TENANT).text()
    body = orjson.dumps({"infraID": infra, "experiment": manifest(**spec)})
    made = CLIENT.post(f"{url}/v1/chaos/runs", params=QUERY, headers={"X-API-Key": admin}, content=body)
    assert made.status_code == 201, made.text
    return JudgedRun(url, infra, made.json(), admin, shop, now_ns - BEGAN_SECONDS * NS_PER_SECOND)
