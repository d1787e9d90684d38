"""What the manager installs is what helm installs with the same values, object by object."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.controlplane.binaries import find_or_build
from manager.installations.agent_manifests import Object, agent_objects
from manager.installations.agent_values import ConfigRefusedError, Source, agent_values, check_config, install_namespace
from tests.deploy.conftest import Chart
from tests.manager.installations.seed_agent import SEED

TOKEN = "podsonar_0123456789ab_" + "A" * 43
SOURCE = Source("https://manager.example:8443/base")


def kubernetes(**members: Any) -> dict[str, Any]:
    """The seed's configuration with other members of `kubernetes`."""
    return SEED | {"kubernetes": SEED["kubernetes"] | members}


def data(**members: Any) -> dict[str, Any]:
    """The seed's configuration with other members of `data`."""
    return SEED | {"data": SEED["data"] | members}


CASES = {
    "seed": (SEED, SOURCE, True),
    "transient": (SEED, SOURCE, False),
    "inventory only": (data(enableNodeAgent=False), SOURCE, True),
    "chosen nodes": (data(nodeAgentSelector="pool=blue, disk==ssd"), SOURCE, True),
    "batch and orphans": (data(enableBatchResources=True, enableOrphanedPod=True), SOURCE, True),
    "part of a minute": (data(collectionWindowInMin=0.25, cron={"expression": "*/30 * * * * *"}), SOURCE, True),
    "namespaces": (
        data(
            observedNamespaces=["shop", "bank", "shop"],
            blacklistedNamespaces=["legacy"],
            namespaceSelector="a in (b, c), d<&>e",
        ),
        SOURCE,
        True,
    ),
    "namespaced": (kubernetes(namespaced=True), SOURCE, True),
    "namespaced in two": (
        kubernetes(namespaced=True) | {"data": SEED["data"] | {"observedNamespaces": ["shop", "bank"]}},
        SOURCE,
        True,
    ),
    "own account": (kubernetes(serviceAccount="mine"), SOURCE, True),
    "placed": (
        kubernetes(
            nodeSelector={"pool": "blue"},
            tolerations=[{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}],
            resources={"limits": {"memory": "1Gi"}, "requests": {}},
            imagePullPolicy="Always",
            labels={"team": "sre"},
            annotations={"note": "two words"},
        ),
        SOURCE,
        True,
    ),
    "images": (
        SEED
        | {
            "collectorImage": "r.example/c:1",
            "logWatcherImage": "r.example/n@sha256:" + "0" * 64,
            "imagePullSecrets": ["p", "q"],
        },
        SOURCE,
        True,
    ),
    "registry": (SEED, Source("https://m.example", registry="registry.example/a/b", tag="9.9.9"), True),
    "certificates": (
        SEED | {"mtls": {"secretName": "client"}},
        Source("https://m.example", ca_secret="authority"),
        True,
    ),
    "proxy": (SEED | {"proxy": {"url": "http://proxy:3128", "noProxy": "a,b"}}, SOURCE, True),
    "plain http": (SEED, Source("http://10.0.0.1:8080", allow_insecure_http=True), True),
    "inside": (SEED, Source("http://podsonar-manager.podsonar.svc:8080"), True),
    "nothing said": ({"data": {}}, SOURCE, True),
}


def by_identity(objects: list[Object]) -> dict[tuple[str, str, str], Object]:
    """The objects by kind, namespace and name; settings as values, since their layout has no meaning."""
    found = {}
    for one in objects:
        metadata = one["metadata"]
        if one["kind"] == "ConfigMap":
            one["data"] = {name: yaml.safe_load(text) for name, text in one["data"].items()}
        found[one["kind"], metadata.get("namespace", ""), metadata["name"]] = one
    assert len(found) == len(objects)
    return found


@pytest.fixture(scope="module")
def helm_chart() -> Chart:
    """The chart of this checkout, and a real helm."""
    return Chart(find_or_build(("helm",))["helm"], Path(__file__).resolve().parents[3] / "deploy/charts/podsonar")


@pytest.mark.parametrize("case", CASES)
def test_objects_equal_those_that_helm_renders(helm_chart: Chart, tmp_path: Path, case: str) -> None:
    """The same objects, and each equal member by member, checksums of settings included."""
    config, source, permanent = CASES[case]
    values = agent_values(config, source, TOKEN, permanent=permanent)
    namespace = install_namespace(config)
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    arguments = ("--skip-tests", "-f", str(tmp_path / "values.yaml"))
    expected = by_identity(helm_chart.template(*arguments, namespace=namespace))
    found = by_identity(agent_objects(values, namespace))
    assert sorted(found) == sorted(expected)
    for name, one in expected.items():
        assert found[name] == one, name


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (SEED | {"skipSecureVerify": True}, "skipSecureVerify"),
        (kubernetes(namespace="Not a name"), "kubernetes.namespace"),
        (SEED | {"mtls": {"certPath": "/a"}}, "mtls.secretName"),
        (data(collectionWindowInMin=0.1), "collectionWindowInMin"),
        (data(collectionWindowInMin="two"), "collectionWindowInMin"),
        ({"data": "all"}, "config.data"),
        (data(observedNamespaces=["<&>"]), "observedNamespaces"),
        (data(observedNamespaces="shop"), "observedNamespaces"),
    ],
)
def test_configuration_that_cannot_be_installed_is_refused_by_its_member(config: dict[str, Any], named: str) -> None:
    """At creation, and not when a delegate comes."""
    with pytest.raises(ConfigRefusedError, match=named):
        check_config(config)
