"""A delegate that died between a creation and its report: whoever deletes finds out what is there, and by whom."""

import secrets
import time
from typing import Any

import pytest

from cluster_api.client import ApiClient
from cluster_api.objects import Objects
from delegate.run_task import cluster_uid
from manager.installations.handout import FIELD_MANAGER
from manager.installations.reports import Outcome, ReportedObject, StatusReport, store_report
from manager.installations.tasks import Delegate, lease_tasks
from manager.store.tenancy import Tenant
from tests.delegate.conftest import Site

pytestmark = pytest.mark.cluster


def config_map(namespace: str, name: str) -> dict[str, Any]:
    """An object as a list has it."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": "{}"}}


def test_what_was_created_and_not_reported_is_deleted_and_nobody_else_s(site: Site) -> None:
    """Known by the field manager that applied it: a person's object of a planned name stays."""
    installation = site.install(site.agent(tenant=Tenant(site.namespace)))
    objects, now_ns = Objects(ApiClient.connect(site.kubeconfig)), time.time_ns()
    delegate = Delegate("d-1", Tenant(site.namespace), cluster_uid(objects), "t")
    planned = [
        ReportedObject("v1", "ConfigMap", name, "absent", site.namespace) for name in ("podsonar-own", "podsonar-other")
    ]
    with site.store.writing() as connection:
        (task,) = lease_tasks(connection, delegate, (), now_ns)
        report = StatusReport("d-1", task.attempt, "RUNNING", "", planned)
        outcome = store_report(connection, delegate.tenant, task.id, report, now_ns, secrets.token_bytes)
    assert outcome is Outcome.ACCEPTED
    objects.apply(config_map(site.namespace, "podsonar-own"), FIELD_MANAGER)
    objects.apply(config_map(site.namespace, "podsonar-other"), "a-person")
    with site.delegate():
        site.remove(installation)
    left = {name.rpartition("/")[2] for name in site.objects() if name.startswith(f"configmaps {site.namespace}/")}
    assert "podsonar-other" in left
    assert "podsonar-own" not in left
