"""An agent's objects: the manifests that helm rendered, filled in from the values. Pure.

`agent.yaml` is rendered with the chart's defaults and checked in; each function below does to it what the chart's
templates do with one group of values. tests/manager/installations/test_agent_manifests.py compares both by real helm.
"""

import base64
import copy
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml

Object = dict[str, Any]
RENDERED = Path(__file__).parent / "agent.yaml"
RENDERED_NAMESPACE = "podsonar"
MANAGED_BY = "app.kubernetes.io/managed-by"
PULL_SECRETS = "imagePullSecrets"
AUTHORITY_VOLUME = "authority"
CREDENTIALS = {"authority": "/etc/podsonar/authority", "client-certificate": "/etc/podsonar/client-certificate"}


@cache
def rendered() -> tuple[Object, ...]:
    """The checked-in manifests; not to be changed."""
    return tuple(one for one in yaml.safe_load_all(RENDERED.read_text(encoding="utf-8")) if one)


def agent_objects(values: Mapping[str, Any], namespace: str) -> list[Object]:
    """The objects of an agent, as the chart renders them for a release `podsonar` in the namespace."""
    found = [move(copy.deepcopy(one), namespace) for one in rendered()]
    found = with_accounts(with_roles(with_node_agent(found, values), values, namespace), values)
    for one in found:
        if one["kind"] == "Secret":
            one["data"]["token"] = base64.b64encode(values["manager"]["token"].encode()).decode()
        elif one["kind"] == "NetworkPolicy":
            one["spec"]["egress"][1]["ports"] = [{"port": port, "protocol": "TCP"} for port in manager_ports(values)]
        elif one["kind"] == "ConfigMap":
            one["data"]["config.yaml"] = settings_text(one["data"]["config.yaml"], values, namespace)
    settings = {one["metadata"]["name"]: one["data"]["config.yaml"] for one in found if one["kind"] == "ConfigMap"}
    for one in found:
        if one["kind"] in ("Deployment", "DaemonSet"):
            fill_workload(one, values, settings[one["metadata"]["name"]])
    return found


def namespace_object(namespace: str) -> Object:
    """The namespace of an agent that makes its own; the node agent's host paths need `privileged`."""
    labels = {
        "app.kubernetes.io/part-of": "podsonar",
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/warn": "privileged",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}


def managed_by(objects: Sequence[Object], program: str) -> list[Object]:
    """The objects with another program in the label that says who installed them."""
    found = copy.deepcopy(list(objects))
    for one in found:
        for metadata in (one["metadata"], one.get("spec", {}).get("template", {}).get("metadata", {})):
            if MANAGED_BY in metadata.get("labels", {}):
                metadata["labels"][MANAGED_BY] = program
    return found


def as_yaml(objects: Sequence[Object]) -> str:
    """The objects as a file for `kubectl apply -f`."""
    return yaml.safe_dump_all(objects, sort_keys=False)


def move(one: Object, namespace: str) -> Object:
    """The object in another namespace; names of objects of the whole cluster begin with it."""
    metadata = one["metadata"]
    if "namespace" in metadata:
        metadata["namespace"] = namespace
    else:
        metadata["name"] = namespace + metadata["name"].removeprefix(RENDERED_NAMESPACE)
    for subject in one.get("subjects", []):
        subject["namespace"] = namespace
    if "roleRef" in one:
        one["roleRef"]["name"] = metadata["name"]
    return one


def with_node_agent(objects: list[Object], values: Mapping[str, Any]) -> list[Object]:
    """The objects, without those of the node agent where it is disabled."""
    if values["data"]["enableNodeAgent"]:
        return objects
    return [one for one in objects if not one["metadata"]["name"].endswith("-node-agent")]


def role_namespaces(values: Mapping[str, Any], namespace: str) -> list[str]:
    """Namespaces to list; empty: the whole cluster."""
    if not values["kubernetes"]["namespaced"]:
        return []
    return list(dict.fromkeys(values["data"]["observedNamespaces"])) or [namespace]


def with_roles(objects: list[Object], values: Mapping[str, Any], namespace: str) -> list[Object]:
    """The objects, with a Role per namespace in place of the ClusterRole where the agent is namespaced."""
    namespaces = role_namespaces(values, namespace)
    found = []
    for one in objects:
        if not one["kind"].startswith("ClusterRole"):
            found.append(one)
            continue
        if one["kind"] == "ClusterRole":
            one["rules"] = list(rules(one["rules"], values, namespaced=bool(namespaces)))
        found += [namespaced_role(one, each, namespace) for each in namespaces] or [one]
    return found


def rules(given: Sequence[Object], values: Mapping[str, Any], *, namespaced: bool) -> Sequence[Object]:
    """The collector's rules: without what only the whole cluster has, with jobs where they are collected."""
    found = []
    for rule in given:
        names = [name for name in rule["resources"] if not namespaced or name not in ("namespaces", "nodes")]
        found.append({**rule, "resources": names})
        if rule["apiGroups"] == ["apps"] and values["data"]["enableBatchResources"]:
            found.append({"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": ["list"]})
    return found


def namespaced_role(one: Object, place: str, namespace: str) -> Object:
    """A ClusterRole or its binding as a Role or RoleBinding of a namespace."""
    found = copy.deepcopy(one)
    found["kind"] = one["kind"].removeprefix("Cluster")
    found["metadata"] = {
        "name": one["metadata"]["name"].removeprefix(f"{namespace}-"),
        "namespace": place,
        "labels": one["metadata"]["labels"],
    }
    if "roleRef" in found:
        found["roleRef"] |= {"kind": "Role", "name": found["metadata"]["name"]}
    return found


def with_accounts(objects: list[Object], values: Mapping[str, Any]) -> list[Object]:
    """The objects, with an existing service account for the collector in place of its own where one is named."""
    account = values["kubernetes"].get("serviceAccount")
    if not account:
        return objects
    own = "podsonar-collector"
    kept = [one for one in objects if (one["kind"], one["metadata"]["name"]) != ("ServiceAccount", own)]
    for one in kept:
        for subject in one.get("subjects", []):
            subject["name"] = account if subject["name"] == own else subject["name"]
    return kept


def settings_text(text: str, values: Mapping[str, Any], namespace: str) -> str:
    """The settings file of a program, from the rendered one."""
    settings = yaml.safe_load(text)
    settings["data"] |= {name: value for name, value in values["data"].items() if name != "nodeAgentSelector"}
    manager = values["manager"]
    settings["manager"] |= {"url": manager["url"], "allowInsecureHttp": manager["allowInsecureHttp"]}
    if manager["caSecret"]["name"]:
        settings["manager"]["caFile"] = f"{CREDENTIALS['authority']}/ca.crt"
    if values["mtls"]["secretName"]:
        folder = CREDENTIALS["client-certificate"]
        settings["mtls"] = {"certPath": f"{folder}/tls.crt", "keyPath": f"{folder}/tls.key"}
    settings["proxy"] = dict(values["proxy"])
    settings["directory"]["url"] = f"http://podsonar-collector.{namespace}.svc:8766"
    namespaces = role_namespaces(values, namespace)
    if namespaces and "node" not in settings:
        settings["kubernetes"] = {"useApiserverCache": False, "namespaced": True, "namespace": namespaces[0]}
    return yaml.safe_dump(settings, sort_keys=True)


def manager_ports(values: Mapping[str, Any]) -> list[int]:
    """The ports by which the manager is reached: its own, and those of proxies."""
    manager = urlsplit(values["manager"]["url"])
    proxies = [values["proxy"][name] for name in ("url", "httpsProxy", "httpProxy")]
    ports = [manager.port or (80 if manager.scheme == "http" else 443)]
    ports += [urlsplit(url).port or 80 for url in proxies if url]
    return list(dict.fromkeys(ports))


def checksum(text: str) -> str:
    """The digest of the settings that the chart's `podsonar.configChecksum` makes: of Go's JSON of the values."""
    raw = orjson.dumps(yaml.safe_load(text), option=orjson.OPT_SORT_KEYS)
    for character, escaped in ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026")):
        raw = raw.replace(character, escaped)
    return hashlib.sha256(raw).hexdigest()


def fill_workload(one: Object, values: Mapping[str, Any], settings: str) -> None:
    """Fill in the pods of a program."""
    template, kubernetes = one["spec"]["template"], values["kubernetes"]
    is_collector = one["kind"] == "Deployment"
    pod = template["spec"]
    container = pod["containers"][0]
    template["metadata"]["labels"] |= kubernetes.get("labels", {})
    template["metadata"]["annotations"] |= {"checksum/config": checksum(settings)} | kubernetes.get("annotations", {})
    container["image"] = image(container["image"], values, "collectorImage" if is_collector else "logWatcherImage")
    container["imagePullPolicy"] = kubernetes.get("imagePullPolicy", container["imagePullPolicy"])
    if values["imagePullSecrets"]:
        pod[PULL_SECRETS] = [{"name": name} for name in values["imagePullSecrets"]]
    add_credentials(pod, container, values)
    if is_collector:
        fill_collector(pod, container, kubernetes)
    else:
        pod["nodeSelector"] |= dict(selector_pairs(values["data"]["nodeAgentSelector"]))


def fill_collector(pod: Object, container: Object, kubernetes: Mapping[str, Any]) -> None:
    """Fill in what the values say of the collector's pod alone."""
    pod["serviceAccountName"] = kubernetes.get("serviceAccount") or pod["serviceAccountName"]
    security = pod["securityContext"]
    security["runAsUser"] = kubernetes.get("runAsUser", security["runAsUser"])
    security["runAsGroup"] = security["fsGroup"] = kubernetes.get("runAsGroup", security["runAsGroup"])
    container["resources"] = kubernetes.get("resources", container["resources"])
    pod["nodeSelector"] |= kubernetes.get("nodeSelector", {})
    if kubernetes.get("tolerations"):
        pod["tolerations"] = kubernetes["tolerations"]


def image(default: str, values: Mapping[str, Any], override: str) -> str:
    """The reference of an image: the configuration's own, else of the registry and tag of the manager's settings."""
    if values[override]:
        return str(values[override])
    name, _, tag = default.rpartition("/")[2].partition(":")
    return f"{values['image']['registry']}/{name}:{values['image']['tag'] or tag}".removeprefix("/")


def selector_pairs(selector: str) -> list[tuple[str, str]]:
    """The labels of `key=value,...`."""
    pairs = [pair.partition("=") for pair in selector.split(",") if pair]
    return [(key.strip(), value.removeprefix("=").strip()) for key, _, value in pairs]


def add_credentials(pod: Object, container: Object, values: Mapping[str, Any]) -> None:
    """Mount the authority of the manager's certificate, and the client certificate, after the token."""
    secrets = {"authority": values["manager"]["caSecret"]["name"], "client-certificate": values["mtls"]["secretName"]}
    for place, (name, secret) in enumerate((name, secret) for name, secret in secrets.items() if secret):
        source: Object = {"secretName": secret, "defaultMode": 0o400}
        if name == AUTHORITY_VOLUME:
            source["items"] = [{"key": "ca.crt", "path": "ca.crt"}]
        pod["volumes"].insert(2 + place, {"name": name, "secret": source})
        mount = {"name": name, "mountPath": CREDENTIALS[name], "readOnly": True}
        container["volumeMounts"].insert(2 + place, mount)
