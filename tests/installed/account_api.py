"""The account of delegates and of their agents on the test cluster: its tokens, and the manager's API with its key."""

import time
from typing import Any

import httpx

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from podsonar.schedule import NS_PER_MINUTE
from podsonar.timestamp import parse_rfc3339
from tests.installed.windows import REPORT_SECONDS, SECOND_NS

TENANT = {"accountIdentifier": "acme", "organizationIdentifier": "default", "projectIdentifier": "shop"}
WHERE = {**TENANT, "environmentIdentifier": "demo"}


def token(cluster: RealCluster, scope: str) -> str:
    """A token of the account, made by the manager's own command."""
    command = ["podsonar", "manager", "token", "create", "--scope", scope, "--name", scope, "--account", "acme"]
    pod = f"deployment/{install.RELEASE}-manager"
    return cluster.kubectl("-n", install.NAMESPACE, "exec", pod, "--", *command).split()[-1]


class ApiOfAccount:
    """The manager's API with an admin key of the account."""

    def __init__(self, cluster: RealCluster) -> None:
        self.client = httpx.Client(
            base_url=f"{install.map_url(cluster)}/gateway/servicediscovery/api/v1",
            headers={"X-API-Key": token(cluster, "admin")},
            timeout=30,
            trust_env=False,
        )

    def create(self, identity: str, *, permanent: bool, config: dict[str, Any]) -> dict[str, Any]:
        """The answer to POST /agents."""
        body = {
            "environmentIdentifier": "demo",
            "infraIdentifier": identity,
            "name": f"DA-{identity}",
            "config": config,
            "permanentInstallation": permanent,
        }
        answer = self.client.post("/agents", params=TENANT, json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def installation(self, identity: str, installation_id: str) -> dict[str, Any]:
        """An installation as it is now."""
        answer = self.client.get(f"/agents/{identity}/installations/{installation_id}", params=WHERE)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def wait(self, identity: str, installation_id: str, status: str, seconds: float) -> dict[str, Any]:
        """An installation whose agent has that status."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.installation(identity, installation_id)
            if found["agentDetails"]["status"] == status:
                return found
            assert time.monotonic() < deadline, found
            assert found["agentDetails"]["status"] != "FAILED", (found, self.log(found))
            time.sleep(1)

    def map(self, identity: str, window: str, nodes: set[str]) -> dict[str, Any]:
        """The map of a window once all nodes have reported."""
        left = (parse_rfc3339(window) + NS_PER_MINUTE - time.time_ns()) / SECOND_NS + REPORT_SECONDS
        deadline = time.monotonic() + left
        while True:
            query = {**WHERE, "window": window, "namespace": shop.NAMESPACE}
            answer = self.client.get(f"/agents/{identity}/map", params=query)
            found: dict[str, Any] = answer.json() if answer.is_success else {"observation": {}}
            if nodes <= set(found["observation"]):
                return found
            assert time.monotonic() < deadline, (answer.status_code, found["observation"])
            time.sleep(1)

    def log(self, installation: dict[str, Any]) -> list[str]:
        """The lines of an installation's log."""
        query = {"accountID": "acme", "key": installation["logStreamID"]}
        url = str(self.client.base_url).partition("/gateway/")[0] + "/log-service/blob"
        lines = self.client.get(url, params=query).raise_for_status().text.splitlines()
        return [httpx.Response(200, content=line).json()["out"] for line in lines]
