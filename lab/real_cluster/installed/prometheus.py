"""A Prometheus beside the cluster that finds pods by their annotations, as a shared Prometheus does.

Debian's package runs as a daemon of the cluster on the machine, which has routes to the pods. Debian builds it without
Kubernetes service discovery: a program beside it (`podtargets`) contains Prometheus' own code for that and writes a
target file. Its service account may list and watch pods and nothing else.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from lab.controlplane.binaries import find_or_build
from lab.controlplane.certificates import write_secret
from lab.controlplane.ports import free_ports
from lab.real_cluster.addressing import Layout
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install
from podsonar.errors import ApiServerError

NAME = "prometheus"
FINDER = "podtargets"
NAMESPACE = "monitoring"
JOB = "kubernetes-pods"
SCRAPE_SECONDS = 5
READY_SECONDS = 30.0
Object = dict[str, Any]


def permissions() -> list[Object]:
    """The service account that finds pods, with the rights that kubernetes_sd_configs of role pod needs."""
    group = "rbac.authorization.k8s.io"
    account = {"name": NAME, "namespace": NAMESPACE}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", **account}],
        },
    ]


def relabel_configs() -> list[Object]:
    """The meaning of the `prometheus.io/*` annotations: the job `kubernetes-pods` of the community's chart."""
    meta = "__meta_kubernetes_pod"
    annotation = f"{meta}_annotation_prometheus_io"
    target_labels = {f"{meta}_name": "pod", f"{meta}_node_name": "node", "__meta_kubernetes_namespace": "namespace"}
    return [
        {"source_labels": [f"{annotation}_scrape"], "action": "keep", "regex": "true"},
        {"source_labels": [f"{annotation}_scheme"], "regex": "(https?)", "target_label": "__scheme__"},
        {"source_labels": [f"{annotation}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {
            "source_labels": ["__address__", f"{annotation}_port"],
            "regex": r"([^:]+)(?::\d+)?;(\d+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
        },
        {"action": "labelmap", "regex": f"{meta}_label_(.+)"},
        *({"source_labels": [source], "target_label": target} for source, target in target_labels.items()),
        {"source_labels": [f"{meta}_phase"], "action": "drop", "regex": "Pending|Succeeded|Failed|Completed"},
    ]


def settings(targets: Path, rules: Path) -> Object:
    """The content of prometheus.yml."""
    every = f"{SCRAPE_SECONDS}s"
    job = {"job_name": JOB, "file_sd_configs": [{"files": [str(targets)]}], "relabel_configs": relabel_configs()}
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(rules)],
        "scrape_configs": [job],
    }


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus, by its HTTP API."""

    url: str

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON, of another shape for each path
        """The `data` of an answer; raises ApiServerError with the message of an unsuccessful one."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=query, timeout=10, trust_env=False)
        body = orjson.loads(answer.content)
        if body["status"] != "success":
            raise ApiServerError(f"{path} {query}: {body['error']}, expected data")
        return body["data"]

    def query(self, expression: str) -> list[Object]:
        """The samples of an instant query (a scalar has no labels)."""
        data = self.get("query", query=expression)
        samples: list[Object] = data["result"] if data["resultType"] == "vector" else [{"value": data["result"]}]
        return samples

    def targets(self) -> list[Object]:
        """The scraped targets, each with its health and last error."""
        samples: list[Object] = self.get("targets", state="active")["activeTargets"]
        return samples

    def alerts(self) -> list[Object]:
        """The pending and firing alerts."""
        samples: list[Object] = self.get("alerts")["alerts"]
        return samples

    def rules(self) -> list[Object]:
        """Every rule, with its health and last error."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def ready(self) -> bool:
        """Return whether it accepts queries."""
        return httpx.get(f"{self.url}/-/ready", timeout=5, trust_env=False).is_success


def rendered_rules(cluster: RealCluster) -> Object:
    """The alerts as the chart renders them for windows of one minute."""
    chosen = ["--api-versions=monitoring.coreos.com/v1/PrometheusRule", "--show-only=templates/monitoring.yaml"]
    chosen += ["--set=metrics.prometheusRule.enabled=true", "--set=metrics.prometheusRule.periodSeconds=60"]
    text = install.helm(cluster, "template", install.RELEASE, str(install.CHART), *chosen)
    (rule,) = (document for document in yaml.safe_load_all(text) if document and document["kind"] == "PrometheusRule")
    spec: Object = rule["spec"]
    return spec


def token(cluster: RealCluster) -> str:
    """A token of the service account."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86_400}}
    headers = {"Content-Type": "application/json"}
    answer = cluster.objects.request("POST", path, headers=headers, content=orjson.dumps(request))
    issued: str = answer["status"]["token"]
    return issued


def folder(layout: Layout) -> Path:
    """The folder of its settings and samples."""
    return layout.folder / NAME


def start(cluster: RealCluster) -> Prometheus:
    """Start a Prometheus that scrapes what it finds; it ends with the cluster or by `stop`."""
    cluster.apply(permissions())
    place = folder(cluster.layout)
    place.mkdir(exist_ok=True)
    credentials = write_secret(place / "token", token(cluster).encode())
    finder = find_or_build([FINDER], cluster.report)[FINDER]
    targets, rules, file = place / "targets.json", place / "rules.yaml", place / "prometheus.yaml"
    cluster.daemons.start(
        FINDER, [str(finder), cluster.url, str(cluster.folder / "ca.crt"), str(credentials), str(targets)]
    )
    rules.write_text(yaml.safe_dump(rendered_rules(cluster)))
    file.write_text(yaml.safe_dump(settings(targets, rules)))
    (port,) = free_ports(1)
    listen = f"127.0.0.1:{port}"
    options = [f"--web.listen-address={listen}", f"--storage.tsdb.path={place / 'samples'}", "--log.level=warn"]
    cluster.daemons.start(NAME, ["prometheus", f"--config.file={file}", *options])
    running = Prometheus(f"http://{listen}")
    cluster.wait("Prometheus is ready", running.ready, READY_SECONDS)
    return running


def stop(cluster: RealCluster) -> None:
    """Stop Prometheus and its target finder."""
    for name in (NAME, FINDER):
        cluster.daemons.stop(name)
