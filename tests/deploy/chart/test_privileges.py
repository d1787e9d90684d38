"""The rights of the pods and of the collector's role: exactly the documented ones."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.control.experiments.runner_manifests import BUDGETS, EDGE, INJECTOR_RIGHTS, RIGHTS
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


DELEGATED = {
    *product([""], ["serviceaccounts", "configmaps", "secrets", "services"], ["get", "create", "patch", "delete"]),
    *product(["apps"], ["deployments", "daemonsets"], ["get", "create", "patch", "delete"]),
    *product(["networking.k8s.io"], ["networkpolicies"], ["get", "create", "patch", "delete"]),
    ("", "pods", "list"),
}
ROLES = ("rbac.authorization.k8s.io", ["roles", "rolebindings"])


def test_delegate_may_change_namespaced_objects_of_its_namespaces_alone(chart: Chart) -> None:
    """preinstalled: roles and namespaces are only read, by name; no list of Secrets, nothing with *."""
    rendered = chart.template("-f", str(chart.folder / "ci/delegate-values.yaml"))
    roles = [one for one in rendered if one["kind"] == "Role"]
    assert [one["metadata"]["namespace"] for one in roles] == ["podsonar", "hce"]
    for role in roles:
        assert permissions(role["rules"]) == DELEGATED | set(product([ROLES[0]], ROLES[1], ["get"]))
    (role,) = (one for one in rendered if one["kind"] == "ClusterRole" and "delegate" in one["metadata"]["name"])
    assert permissions(role["rules"]) == set()
    assert [rule["verbs"] for rule in role["rules"]] == [["get"], ["get"]]


def test_managed_delegate_holds_what_it_may_grant_and_no_more(chart: Chart) -> None:
    """Without names: `create` of ClusterRoles and their bindings, and the collector's rules."""
    rendered = chart.template("-f", str(chart.folder / "ci/managed-values.yaml"))
    (role,) = (one for one in rendered if one["kind"] == "Role")
    assert permissions(role["rules"]) == DELEGATED | set(
        product([ROLES[0]], ROLES[1], ["get", "create", "patch", "delete"])
    )
    (role,) = (one for one in rendered if one["kind"] == "ClusterRole")
    granted = set(product([ROLES[0]], ["clusterroles", "clusterrolebindings"], ["create"]))
    assert permissions(role["rules"]) == granted | needed(batch=True, namespaced=False)


def test_delegate_of_runners_holds_what_their_faults_need_and_no_more(chart: Chart) -> None:
    """In its namespaces alone; without `delegate.runners` none of it (the test above)."""
    rendered = chart.template("-f", str(chart.folder / "ci/managed-values.yaml"), "--set", "delegate.runners=true")
    (role,) = (one for one in rendered if one["kind"] == "Role")
    made = DELEGATED | set(product([ROLES[0]], ROLES[1], ["get", "create", "patch", "delete"]))
    of_faults = {
        (group, resource, verb) for rules in RIGHTS.values() for group, resource, verbs in rules for verb in verbs
    }
    of_faults |= {
        (group, resource, verb) for group, resource, verbs in (*EDGE, BUDGETS, INJECTOR_RIGHTS) for verb in verbs
    }
    assert permissions(role["rules"]) == made | of_faults


def test_delegate_has_nothing_to_lose(chart: Chart) -> None:
    """As the collector: not root, no capability, a read-only root, no part of the host."""
    rendered = chart.template("-f", str(chart.folder / "ci/delegate-values.yaml"))
    spec = pod(only(rendered, "Deployment", "-delegate"))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


def test_delegate_is_off_by_default_and_nobody_calls_it(chart: Chart, objects: list[Object]) -> None:
    """Its one port is that of metrics and probes, and no Service leads to it."""
    assert not [one for one in objects if "delegate" in one["metadata"]["name"]]
    rendered = chart.template("-f", str(chart.folder / "ci/delegate-values.yaml"))
    (container,) = pod(only(rendered, "Deployment", "-delegate"))["containers"]
    assert [port["name"] for port in container["ports"]] == ["metrics"]
    selectors = [one["spec"]["selector"] for one in rendered if one["kind"] == "Service"]
    assert "delegate" not in {selector.get("app.kubernetes.io/component") for selector in selectors}


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


def test_node_agent_mounts_nothing_of_the_host_and_gives_up_uid_0(objects: list[Object]) -> None:
    """BPF and PERFMON, and what leaving uid 0 takes; the node's pid namespace, no host path, a read-only root."""
    spec = pod(only(objects, "DaemonSet"))
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["BPF", "PERFMON", "SETGID", "SETUID"]},
    }
    assert (spec["hostPID"], spec["hostNetwork"]) == (True, False)
    assert "hostIPC" not in spec
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
    assert {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {"spool", "tmp"}
    settings = yaml.safe_load(only(objects, "ConfigMap", "-node-agent")["data"]["config.yaml"])
    assert settings["node"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 60946


def test_host_paths_are_mounted_for_what_needs_them_read_only(chart: Chart) -> None:
    """Without the node's pid namespace its /proc, for a perf tracepoint its tracefs: neither can be written."""
    rendered = chart.template("-f", str(chart.folder / "ci/external-values.yaml"))
    spec = pod(only(rendered, "DaemonSet"))
    (container,) = spec["containers"]
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    assert paths == {"proc": "/proc", "tracing": "/sys/kernel/tracing"}
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert all(mounts[name] for name in paths)
    assert spec["hostPID"] is False
    settings = yaml.safe_load(only(rendered, "ConfigMap", "-node-agent")["data"]["config.yaml"])
    assert settings["node"]["procFolder"] == "/host/proc"


def test_agent_that_stays_uid_0_is_granted_no_way_to_another_user(chart: Chart) -> None:
    """nodeAgent.runAsUser 0: neither SETUID nor SETGID, and no group for the volumes."""
    spec = pod(only(chart.template("--set", "nodeAgent.runAsUser=0"), "DaemonSet"))
    assert spec["containers"][0]["securityContext"]["capabilities"]["add"] == ["BPF", "PERFMON"]
    assert "fsGroup" not in spec["securityContext"]


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
