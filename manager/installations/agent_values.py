"""The chart's values of an agent's configuration, so that what is installed is what helm would install. Pure."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from podsonar.errors import SettingsError, UsageError
from podsonar.schedule import next_window
from podsonar.settings import InstalledAgents

DEFAULT_NAMESPACE = "podsonar"
DEFAULT_CRON = "15 * * * *"
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Minutes between the windows of a transient agent: each a divisor of an hour, so that cron repeats it evenly.
INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)


class ConfigRefusedError(UsageError):
    """An agent's configuration asks for what cannot be installed; the text names the member and what was expected."""


class Source(NamedTuple):
    """Where agents push to, and where their images come from."""

    manager_url: str
    allow_insecure_http: bool = False
    ca_secret: str = ""
    registry: str = InstalledAgents().registry
    tag: str = ""


def member(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A group of the configuration; empty where it is absent or null."""
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise ConfigRefusedError(f"config.{name} is no object")
    return found


def namespaces(data: Mapping[str, Any], name: str) -> list[str]:
    """A list of namespaces."""
    found = data.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) and DNS_LABEL.fullmatch(one) for one in found):
        raise ConfigRefusedError(f"config.data.{name} is {found!r}, expected names of namespaces")
    return found


def install_namespace(config: Mapping[str, Any]) -> str:
    """The namespace of an agent's objects."""
    name = member(config, "kubernetes").get("namespace") or DEFAULT_NAMESPACE
    if not isinstance(name, str) or not DNS_LABEL.fullmatch(name):
        raise ConfigRefusedError(f"config.kubernetes.namespace is {name!r}, expected the name of a namespace")
    return name


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ConfigRefusedError for what no agent can be installed with."""
    install_namespace(config)
    if config.get("skipSecureVerify"):
        raise ConfigRefusedError(
            "config.skipSecureVerify is true, expected false: agents know the manager by its certificate's authority"
        )
    mtls = member(config, "mtls")
    if (mtls.get("certPath") or mtls.get("keyPath")) and not mtls.get("secretName"):
        raise ConfigRefusedError("config.mtls.secretName is empty, expected the Secret with tls.crt and tls.key")
    agent_values(config, Source("https://manager.invalid"), "", permanent=True)


def repeated_windows(minutes: float) -> str:
    """The cron expression of a transient agent: a window soon, and again until one was observed by every node."""
    if minutes < 1:
        return "*/30 * * * * *"
    every = next((interval for interval in INTERVALS if interval > minutes), 60)
    return "0 * * * *" if every == 60 else f"*/{every} * * * *"


def agent_values(config: Mapping[str, Any], source: Source, token: str, *, permanent: bool) -> dict[str, Any]:
    """The values with which the chart renders an agent; a member that is absent or empty has the chart's default."""
    kubernetes, data = member(config, "kubernetes"), member(config, "data")
    minutes = data.get("collectionWindowInMin") or 2
    if not isinstance(minutes, int | float) or not 0.25 <= minutes <= 1440:
        raise ConfigRefusedError(f"config.data.collectionWindowInMin is {minutes!r}, expected minutes from 0.25 on")
    cron = member(data, "cron").get("expression") or DEFAULT_CRON
    try:
        next_window(cron, minutes, 0)
    except (SettingsError, TypeError) as error:
        raise ConfigRefusedError(f"config.data.cron.expression is {cron!r}, expected a cron expression") from error
    resources = {
        name: dict(found) for name in ("limits", "requests") if (found := member(member(kubernetes, "resources"), name))
    }
    optional = {
        "imagePullPolicy": kubernetes.get("imagePullPolicy"),
        "runAsUser": kubernetes.get("runAsUser"),
        "runAsGroup": kubernetes.get("runAsGroup"),
        "serviceAccount": kubernetes.get("serviceAccount"),
        "nodeSelector": kubernetes.get("nodeSelector"),
        "tolerations": kubernetes.get("tolerations"),
        "labels": kubernetes.get("labels"),
        "annotations": kubernetes.get("annotations"),
        "resources": resources,
    }
    return {
        "data": {
            "enableNodeAgent": bool(data.get("enableNodeAgent", True)),
            "nodeAgentSelector": data.get("nodeAgentSelector") or "",
            "namespaceSelector": data.get("namespaceSelector") or "",
            "observedNamespaces": namespaces(data, "observedNamespaces"),
            "blacklistedNamespaces": namespaces(data, "blacklistedNamespaces"),
            "enableOrphanedPod": bool(data.get("enableOrphanedPod")),
            "enableBatchResources": bool(data.get("enableBatchResources")),
            "collectionWindowInMin": minutes,
            "cron": {"expression": cron if permanent else repeated_windows(minutes)},
        },
        "kubernetes": {
            "namespaced": bool(kubernetes.get("namespaced")),
            **{name: value for name, value in optional.items() if value not in (None, "", [], {})},
        },
        "mtls": {"secretName": member(config, "mtls").get("secretName") or ""},
        "proxy": {
            name: member(config, "proxy").get(name) or "" for name in ("url", "httpProxy", "httpsProxy", "noProxy")
        },
        "imagePullSecrets": config.get("imagePullSecrets") or [],
        "collectorImage": config.get("collectorImage") or "",
        "logWatcherImage": config.get("logWatcherImage") or "",
        "image": {"registry": source.registry, "tag": source.tag},
        "manager": {
            "install": False,
            "url": member(config, "mtls").get("url") or source.manager_url,
            "allowInsecureHttp": source.allow_insecure_http,
            "token": token,
            "caSecret": {"name": source.ca_secret},
        },
    }
