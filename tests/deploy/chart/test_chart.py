"""The chart renders for every supported Kubernetes, with labels that stay and settings that the programs know."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from delegate.app import check_rules
from podsonar.settings import AgentSettings, CollectorSettings, DelegateSettings, ManagerSettings, RunnerDirectory
from podsonar.settings_sources import environment_name, leaves, load
from tests.deploy.conftest import MONITORING, OPENSHIFT, Chart, Object, only, pod

VERSIONS = ("1.30.0", "1.34.0", "1.37.0")
WORKLOADS = ("Deployment", "DaemonSet")
LABELS = {
    *(f"app.kubernetes.io/{name}" for name in ("name", "instance", "version", "component", "part-of", "managed-by")),
    "helm.sh/chart",
}
SELECTED_BY = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
APIS = [word for api in MONITORING + OPENSHIFT for word in ("--api-versions", api)]


def test_lint_is_clean(chart: Chart) -> None:
    """`helm lint --strict` reports nothing."""
    done = chart.run("lint", "--strict", str(chart.folder))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_every_tested_set_of_values_renders_for_every_supported_version(chart: Chart, version: str) -> None:
    """Six sets of values, three versions: no failure, no object without a name, no name twice."""
    assert len(chart.values()) == 8
    for values in chart.values():
        rendered = chart.template("-f", str(values), "--kube-version", version, *APIS)
        names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered]
        assert len(names) == len(set(names)), values.name


def test_version_before_the_oldest_supported_is_refused(chart: Chart) -> None:
    """Kubernetes 1.29 is refused as too old."""
    assert "1.29.0" in chart.refusal("--kube-version", "1.29.0")


def test_every_object_has_the_standard_labels(chart: Chart) -> None:
    """Every object and pod carries the labels of the Kubernetes documentation."""
    values = chart.folder / "ci/everything-values.yaml"
    for one in chart.template("-f", str(values), *APIS):
        assert set(one["metadata"]["labels"]) >= LABELS, one["metadata"]["name"]
        if one["kind"] in WORKLOADS:
            assert set(one["spec"]["template"]["metadata"]["labels"]) >= LABELS


def selectors(objects: list[Object]) -> dict[str, Any]:
    """The immutable selectors of the workloads, by name."""
    return {one["metadata"]["name"]: one["spec"]["selector"] for one in objects if one["kind"] in WORKLOADS}


def test_upgrade_with_other_values_keeps_the_selectors(chart: Chart, tmp_path: Path) -> None:
    """Selectors are immutable: another chart version, other labels, images and spools change none (row 46)."""
    before = selectors(chart.template())
    changed = ["--set", "image.tag=v9,kubernetes.labels.team=a,nodeAgent.spool.kind=hostPath,log.level=debug"]
    assert selectors(chart.template(*changed)) == before
    assert all(set(one["matchLabels"]) == SELECTED_BY for one in before.values())
    assert len(before) == 3


def test_selectors_choose_their_own_pods_only(objects: list[Object]) -> None:
    """Each service and workload selects the pods of one component."""
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in objects
        if one["kind"] in WORKLOADS
    }
    for one in objects:
        if one["kind"] == "Service":
            wanted = one["spec"]["selector"].items()
            chosen = [name for name, labels in pods.items() if wanted <= labels.items()]
            assert chosen == [one["metadata"]["name"].removesuffix("-metrics")]


@pytest.mark.parametrize("values", ["everything", "external", "namespaced"])
def test_rendered_settings_are_settings_of_the_programs(chart: Chart, tmp_path: Path, values: str) -> None:
    """The config files load: no key that a program does not know, no value that it refuses."""
    rendered = chart.template("-f", str(chart.folder / f"ci/{values}-values.yaml"), *APIS)
    for ending, cls in (("-collector", CollectorSettings), ("-node-agent", AgentSettings)):
        path = tmp_path / f"{ending}.yaml"
        path.write_text(only(rendered, "ConfigMap", ending)["data"]["config.yaml"])
        load(cls, path, {}, {})
    settings = load(CollectorSettings, tmp_path / "-collector.yaml", {}, {})
    assert settings.kubernetes.namespaced is (values == "namespaced")
    assert settings.manager.url.startswith(
        "https://manager.example"
        if values == "external"
        else "https://podsonar-"
        if values == "everything"
        else "http://podsonar-"
    )


def test_rendered_settings_of_a_delegate_are_settings_of_the_program(chart: Chart, tmp_path: Path) -> None:
    """Also with what its runners are given to order windows, which is nothing by default."""
    path, values = tmp_path / "delegate.yaml", str(chart.folder / "ci/managed-values.yaml")
    given = "delegate.runners=true,delegate.directory.url=http://collector:8766,delegate.directory.secret=agents-token"
    found = []
    for more in ((), ("--set", given)):
        rendered = chart.template("-f", values, *more)
        path.write_text(only(rendered, "ConfigMap", "-delegate")["data"]["config.yaml"])
        found.append(load(DelegateSettings, path, {}, {}).delegate)
        check_rules(DelegateSettings(delegate=found[-1]))
    assert [one.directory for one in found] == [
        RunnerDirectory(),
        RunnerDirectory(url="http://collector:8766", secret="agents-token", key="token"),
    ]


@pytest.mark.parametrize(
    ("values", "straight"),
    [
        ("proxy.url=http://proxy:3128", ".svc"),
        ("proxy.httpsProxy=http://proxy:3128,proxy.noProxy=.example", ".example,.svc"),
        ("proxy.noProxy=.example", ".example"),
        ("manager.install=false,manager.url=https://m.example,manager.tokenSecret.name=t,proxy.url=http://proxy:1", ""),
    ],
)
def test_manager_of_the_release_is_pushed_to_straight(chart: Chart, values: str, straight: str) -> None:
    """A proxy is for external managers: the installed one is added to `proxy.noProxy`."""
    config = only(chart.template("--set", values), "ConfigMap", "-collector")["data"]["config.yaml"]
    assert yaml.safe_load(config)["proxy"]["noProxy"] == straight


def test_free_text_that_is_kept_is_asked_for_by_the_collectors_settings(chart: Chart, tmp_path: Path) -> None:
    """`redaction` reaches the collector as it was set, and stands in no settings where it is the default."""
    path = tmp_path / "collector.yaml"
    for values, mode, keep in (
        ("redaction.keep={example.com/team,containers.args}", "structure", ["example.com/team", "containers.args"]),
        ("redaction.mode=patterns", "patterns", []),
    ):
        path.write_text(only(chart.template("--set", values), "ConfigMap", "-collector")["data"]["config.yaml"])
        settings = load(CollectorSettings, path, {}, {})
        assert (settings.redaction.mode, settings.redaction.keep) == (mode, keep)
    assert "redaction" not in only(chart.template(), "ConfigMap", "-collector")["data"]["config.yaml"]


def test_managers_environment_names_its_settings(chart: Chart) -> None:
    """Each PODSONAR_ variable of the manager's pod is one that the manager reads."""
    known = {environment_name(path) for path, _kind, _default in leaves(ManagerSettings)}
    for values, count in (("everything", 16), ("postgresql", 14)):
        rendered = chart.template("-f", str(chart.folder / f"ci/{values}-values.yaml"))
        (container,) = pod(only(rendered, "Deployment", "-manager"))["containers"]
        names = {one["name"] for one in container["env"]}
        assert names <= known
        assert len(names) == count


def test_changed_settings_restart_the_pods_that_read_them_and_a_changed_token_none(chart: Chart) -> None:
    """`checksum/config` follows the ConfigMap; nothing on a pod follows the token Secret, which is read again."""

    def annotations(*arguments: str) -> dict[str, Object]:
        return {
            one["metadata"]["name"]: one["spec"]["template"]["metadata"]["annotations"]
            for one in chart.template(*arguments)
            if one["kind"] in WORKLOADS
        }

    first, again, other = annotations(), annotations(), annotations("--set", "log.level=debug")
    assert first == again  # although each rendering made new tokens
    assert first["podsonar-collector"] != other["podsonar-collector"]
    assert first["podsonar-node-agent"] != other["podsonar-node-agent"]
    assert first["podsonar-manager"] == other["podsonar-manager"]


def test_monitors_alerts_and_openshift_need_their_apis(chart: Chart) -> None:
    """Without the operator's API they are omitted, and nothing fails (row 45)."""
    values = ["-f", str(chart.folder / "ci/everything-values.yaml")]
    without, having = chart.template(*values), chart.template(*values, *APIS)
    added = sorted(one["kind"] for one in having if one["kind"] not in {each["kind"] for each in without})
    wanted = ["PodMonitor", "PodMonitor", "PrometheusRule", "SecurityContextConstraints", "ServiceMonitor"]
    assert added == wanted


def test_managers_certificate_is_for_its_api_port_alone(chart: Chart, tmp_path: Path) -> None:
    """Who pushes has the https URL and the authority as a file, a folder's, so that a changed one is seen.

    Probes, monitors and `helm test` ask the metrics port, which stays plain.
    """
    rendered = chart.template("-f", str(chart.folder / "ci/everything-values.yaml"), *APIS)
    for kind, ending in (("Deployment", "-collector"), ("DaemonSet", "-node-agent")):
        path = tmp_path / f"{ending}.yaml"
        path.write_text(only(rendered, "ConfigMap", ending)["data"]["config.yaml"])
        manager = load(AgentSettings, path, {}, {}).manager
        assert manager.url == "https://podsonar-manager.observe.svc:8080"
        folder, _slash, name = manager.ca_file.rpartition("/")
        spec = pod(only(rendered, kind, ending))
        (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["mountPath"] == folder]
        assert "subPath" not in mount
        (volume,) = [one for one in spec["volumes"] if one["name"] == mount["name"]]
        assert volume["secret"]["items"] == [{"key": "ca.crt", "path": name}]
    (container,) = pod(only(rendered, "Deployment", "-manager"))["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"].get("scheme", "HTTP") == "HTTP"
        assert container[probe]["httpGet"]["port"] == "metrics"
    (monitored,) = only(rendered, "ServiceMonitor")["spec"]["endpoints"]
    assert (monitored["port"], monitored.get("scheme", "http")) == ("metrics", "http")
    (asked,) = [one["value"] for one in only(rendered, "Pod", "-test-reports")["spec"]["containers"][0]["env"][:1]]
    assert asked == "http://podsonar-manager-metrics.observe.svc:9464"


def test_every_value_is_in_the_schema_and_explained(chart: Chart) -> None:
    """Keys of values.yaml and of the schema are the same set, so that a new value cannot be forgotten."""
    values = yaml.safe_load((chart.folder / "values.yaml").read_text())
    schema = yaml.safe_load((chart.folder / "values.schema.json").read_text())

    def compare(values: Object, schema: Object, path: str) -> None:
        assert schema.get("additionalProperties") is not True or path == ".global"
        if "properties" not in schema or path.endswith((".resources", "Options")):
            return
        assert set(values) == set(schema["properties"]), path
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, schema["properties"][key], f"{path}.{key}")

    compare(values, schema, "")


def test_notes_name_what_is_missing_and_every_risk(chart: Chart) -> None:
    """The notes name the missing Secret (row 6), the namespace's label (row 19), and every accepted risk."""

    def notes(*values: str) -> str:
        done = chart.run("install", "podsonar", str(chart.folder), "--dry-run=client", *values)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.partition("NOTES:")[2].split())

    assert "pod-security.kubernetes.io/enforce=privileged" in notes()
    assert "Open the map (http://127.0.0.1:8080)" in notes()
    tls = "manager.tls.secretName=t,manager.caSecret.name=t"
    assert "Open the map (https://127.0.0.1:8080)" in notes("--set", tls)
    elsewhere = "manager.install=false,manager.url=https://m.example"
    assert "until Secret agent-token exists" in notes("--set", f"{elsewhere},manager.tokenSecret.name=agent-token")
    assert "WARNING: manager.token" in notes("--set", f"{elsewhere},manager.token=podsonar-demo-token-of-someone")
    assert "gone with its pod" in notes("--set", "manager.persistence.enabled=false")
    assert "WARNING: nodeAgent.privileged" in notes("--set", "nodeAgent.privileged=true")


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm is given no cluster: what is rendered depends on the chart alone."""
    for name in [name for name in os.environ if name.startswith(("KUBE", "HELM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KUBECONFIG", os.devnull)
