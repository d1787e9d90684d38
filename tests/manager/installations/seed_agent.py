"""The agent that the seed creates: its configuration, and an agent with such a one."""

import itertools
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from manager.store.agents import Agent, insert_agent
from manager.store.database import Store
from manager.store.tenancy import Tenant

SEED: dict[str, Any] = {
    "skipSecureVerify": False,
    "kubernetes": {
        "disableNamespaceCreation": False,
        "namespaced": False,
        "namespace": "hce",
        "serviceAccount": "",
        "runAsUser": 2000,
        "runAsGroup": 2000,
        "imagePullPolicy": "",
        "nodeSelector": None,
        "tolerations": None,
        "resources": {"limits": {}, "requests": {}},
    },
    "data": {
        "enableNodeAgent": True,
        "nodeAgentSelector": "",
        "blacklistedNamespaces": None,
        "observedNamespaces": None,
        "namespaceSelector": "",
        "enableOrphanedPod": False,
        "enableBatchResources": False,
        "collectionWindowInMin": 1,
        "cron": {"expression": "15 * * * *"},
    },
    "collectorImage": "",
    "logWatcherImage": "",
    "imagePullSecrets": None,
}
COUNTER = itertools.count(1)


def create_agent(store: Store, tenant: Tenant, config: Mapping[str, Any], now_ns: int, *, permanent: bool) -> Agent:
    """An agent that a delegate installs, under a name of its own, as the API makes it."""
    with store.writing() as connection:
        return insert_agent(
            connection,
            tenant,
            f"agent-{next(COUNTER)}",
            now_ns,
            secrets.token_bytes,
            config=orjson.dumps(config),
            permanent=permanent,
            installation_type="CONNECTOR",
        )
