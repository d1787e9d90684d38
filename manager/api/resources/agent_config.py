"""An agent's configuration as the API answers it: the request's, completed, in the service's order. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

# Member -> its value when it is left out; ABSENT: it is left out of the answer, too.
ABSENT = object()
Defaults = Mapping[str, Any]
DATA: Defaults = {
    "enableNodeAgent": False,
    "nodeAgentSelector": "",
    "blacklistedNamespaces": None,
    "observedNamespaces": None,
    "namespaceSelector": "",
    "enableOrphanedPod": False,
    "enableBatchResources": False,
    "collectionWindowInMin": 0,
    "cron": {"expression": ""},
}
KUBERNETES: Defaults = {
    "disableNamespaceCreation": False,
    "namespaced": False,
    "namespace": "",
    "serviceAccount": "",
    "runAsUser": 0,
    "runAsGroup": 0,
    "imagePullPolicy": "",
    "labels": ABSENT,
    "annotations": ABSENT,
    "nodeSelector": None,
    "tolerations": None,
    "resources": {"limits": {}, "requests": {}},
}
MTLS: Defaults = dict.fromkeys(("certPath", "keyPath", "secretName", "url"), ABSENT)
PROXY: Defaults = dict.fromkeys(("httpProxy", "httpsProxy", "noProxy", "url"), ABSENT)


def complete(given: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    """The members of a group in the defaults' order, completed."""
    found = {name: given.get(name, default) for name, default in defaults.items()}
    return {name: value for name, value in found.items() if value is not ABSENT}


def complete_kubernetes(given: Mapping[str, Any]) -> dict[str, Any]:
    """The group `kubernetes`."""
    # Null stands for what a request that had the group left out; many generated clients read no null.
    found = complete(given, KUBERNETES if given else {**KUBERNETES, "nodeSelector": ABSENT, "tolerations": ABSENT})
    found["resources"] = {name: dict(found["resources"].get(name, {})) for name in ("limits", "requests")}
    return found


def complete_config(given: Mapping[str, Any]) -> dict[str, Any]:
    """`database.AgentConfiguration`: the request's, completed."""
    groups: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "skipSecureVerify": lambda _: given.get("skipSecureVerify", False),
        "kubernetes": complete_kubernetes,
        "data": lambda data: complete(data, DATA),
        "mtls": lambda mtls: complete(mtls, MTLS),
        "proxy": lambda proxy: complete(proxy, PROXY),
        "collectorImage": lambda _: given.get("collectorImage", ""),
        "logWatcherImage": lambda _: given.get("logWatcherImage", ""),
        "imagePullSecrets": lambda _: given.get("imagePullSecrets"),
    }
    found = {name: make(given.get(name) or {}) for name, make in groups.items()}
    return {name: value for name, value in found.items() if name not in {"mtls", "proxy"} or value}
