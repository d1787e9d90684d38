"""The rights of the pods and of the collector's role: exactly the documented ones."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.k8s.kinds import KINDS, WATCHED
from tests.deploy.conftest import Chart, Object, only, pod

Permission = tuple[str, str, str]


def permissions(rules: list[Object]) -> set[Permission]:
    """`(API group, resource, verb)` of every permission that rules give."""
    return {
        permission
        for rule in rules
        for permission in product(rule["apiGroups"], rule["resources"], rule["verbs"])
        if not {"resourceNames", "nonResourceURLs"} & set(rule)
    }


def needed(*, batch: bool, namespaced: bool) -> set[Permission]:
    """The rights that the code uses: a list of each kind, and a watch of those that the directory follows."""
    listed = {(kind.group.partition("/")[0], kind.plural, "list") for kind in KINDS if batch or not kind.batch}
    watched = {(kind.group.partition("/")[0], kind.plural, verb) for kind in WATCHED for verb in ("list", "watch")}
    cluster_wide = {"namespaces", "nodes"} if namespaced else set()
    return {one for one in listed | watched if one[1] not in cluster_wide}


def test_cluster_role_is_exactly_what_the_collector_asks_for(chart: Chart) -> None:
    """Equality of sets: no permission is missing, none is left over; only list and watch; no Secrets, no ConfigMaps."""
    given = permissions(only(chart.template("--set", "data.enableBatchResources=true"), "ClusterRole")["rules"])
    assert given == needed(batch=True, namespaced=False)
    assert {verb for _group, _resource, verb in given} == {"list", "watch"}
    assert not {resource for _group, resource, _verb in given} & {"secrets", "configmaps", "*"}


def test_role_has_no_batch_kinds_until_they_are_collected(objects: list[Object]) -> None:
    """data.enableBatchResources also widens the role."""
    assert permissions(only(objects, "ClusterRole")["rules"]) == needed(batch=False, namespaced=False)


def test_role_of_the_demo_is_the_charts(chart: Chart, repository: Path) -> None:
    """deploy/rbac/collector.yaml, for those who install without Helm, gives the same rights."""
    role = yaml.safe_load((repository / "deploy/rbac/collector.yaml").read_text())
    rendered = only(chart.template("--set", "data.enableBatchResources=true"), "ClusterRole")
    assert permissions(role["rules"]) == permissions(rendered["rules"])


def test_namespaced_gives_a_role_in_each_namespace_and_none_beyond(chart: Chart) -> None:
    """Two namespaces, two Roles and bindings, no ClusterRole (row 18)."""
    rendered = chart.template("-f", str(chart.folder / "ci/namespaced-values.yaml"))
    roles = [one for one in rendered if one["kind"] == "Role"]
    assert [one["metadata"]["namespace"] for one in roles] == ["shop", "bank"]
    assert all(permissions(one["rules"]) == needed(batch=True, namespaced=True) for one in roles)
    bindings = [one for one in rendered if one["kind"] == "RoleBinding"]
    subject = {"kind": "ServiceAccount", "name": "podsonar-collector", "namespace": "observe"}
    assert [one["subjects"] for one in bindings] == [[subject], [subject]]
    assert not [one for one in rendered if one["kind"].startswith("ClusterRole")]


def test_only_the_collector_gets_a_service_account_token(objects: list[Object]) -> None:
    """Node agent and manager talk to no API server: nothing is bound to them and no token is mounted."""
    for kind, ending in (("DaemonSet", "-node-agent"), ("Deployment", "-manager")):
        assert pod(only(objects, kind, ending))["automountServiceAccountToken"] is False
    assert pod(only(objects, "Deployment", "-collector"))["automountServiceAccountToken"] is True
    bound = {subject["name"] for one in objects if one["kind"].endswith("Binding") for subject in one["subjects"]}
    assert bound == {"podsonar-collector"}


@pytest.mark.parametrize("ending", ["-collector", "-manager"])
def test_collector_and_manager_have_nothing_to_lose(objects: list[Object], ending: str) -> None:
    """Not root, no capability, no escalation, a read-only root, the runtime's seccomp profile, no part of the host."""
    spec = pod(only(objects, "Deployment", ending))
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65534
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


def test_node_agent_has_two_capabilities_and_reads_the_host_only(objects: list[Object]) -> None:
    """Uid 0 with BPF and PERFMON, no host namespace, no host path that can be written, a read-only root."""
    spec = pod(only(objects, "DaemonSet"))
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["BPF", "PERFMON"]},
    }
    assert spec["hostPID"] is spec["hostNetwork"] is False
    assert "hostIPC" not in spec
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    assert paths == {"proc": "/proc", "tracing": "/sys/kernel/tracing"}
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert all(mounts[name] for name in paths)
    assert {name for name, read_only in mounts.items() if not read_only} == {"spool", "tmp"}


def test_spool_on_the_host_is_the_one_host_path_that_is_written(chart: Chart) -> None:
    """nodeAgent.spool.kind hostPath makes one folder on the node, and no other is written."""
    spec = pod(only(chart.template("-f", str(chart.folder / "ci/everything-values.yaml")), "DaemonSet"))
    writable = {mount["name"] for mount in spec["containers"][0]["volumeMounts"] if not mount.get("readOnly")}
    folders = {one["name"]: one["hostPath"] for one in spec["volumes"] if "hostPath" in one}
    assert writable & set(folders) == {"spool"}
    assert folders["spool"] == {"path": "/var/lib/podsonar", "type": "DirectoryOrCreate"}


def test_privileged_and_sys_admin_leave_out_what_the_api_server_would_refuse(chart: Chart) -> None:
    """AllowPrivilegeEscalation false is omitted with privileged or SYS_ADMIN, since the API server refuses both
    together.
    """
    for value in ("nodeAgent.privileged=true", "nodeAgent.capabilities={SYS_ADMIN}"):
        (container,) = pod(only(chart.template("--set", value), "DaemonSet"))["containers"]
        assert "allowPrivilegeEscalation" not in container["securityContext"]


def secret_volumes(spec: Object) -> dict[str, Any]:
    """The Secrets that a pod mounts, by volume."""
    return {one["name"]: one["secret"] for one in spec["volumes"] if "secret" in one}


def test_credentials_are_folders_that_rotate_and_only_the_owner_reads(chart: Chart) -> None:
    """Secrets are mounted as folders (a subPath would never change), mode 0400, and are in no environment variable."""
    for values in chart.values():
        for one in chart.template("-f", str(values)):
            if one["kind"] not in ("Deployment", "DaemonSet"):
                continue
            spec = pod(one)
            (container,) = spec["containers"]
            assert not [mount for mount in container["volumeMounts"] if "subPath" in mount]
            assert all(secret["defaultMode"] == 0o400 for secret in secret_volumes(spec).values())
            assert "secretKeyRef" not in str(container.get("env", []))


def test_each_program_is_given_only_the_key_it_needs(objects: list[Object]) -> None:
    """Agents mount the token, the manager the hashes; no pod mounts the read key."""
    given = {
        one["metadata"]["name"]: [
            item["key"] for volume in secret_volumes(pod(one)).values() for item in volume["items"]
        ]
        for one in objects
        if one["kind"] in ("Deployment", "DaemonSet")
    }
    assert given == {
        "podsonar-collector": ["token"],
        "podsonar-node-agent": ["token"],
        "podsonar-manager": ["tokens.json"],
    }
