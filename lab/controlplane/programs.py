"""What can be built: each program, the Go module folder below `gomod` that pins it, and where its build is kept.

`VERSIONS` are the Kubernetes releases that Podsonar is tested against, oldest first. All of them have kube-apiserver;
the oldest also has what nodes need, in one module, so that what its programs share compiles once. A build is kept by
the hash of its own module's go.sum, so that a new pin of one module leaves the programs of the others where they are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podsonar.errors import ApiServerError

MODULES = Path(__file__).parent / "gomod"
OLDEST = "v1.34.4"
NEWEST = "v1.37.2"
VERSIONS = (OLDEST, NEWEST)
HELM = "v4.0.5"


@dataclass(frozen=True, slots=True)
class Module:
    """A folder that pins programs: the oldest Go that builds them, and the variables that tell them their version."""

    folder: str
    oldest_go: tuple[int, int]
    variables: tuple[str, ...] = ()

    def cache_folder(self, environ: Mapping[str, str]) -> Path:
        """Where its programs are kept once built."""
        digest = hashlib.sha256((MODULES / self.folder / "go.sum").read_bytes()).hexdigest()
        root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
        return Path(root) / "podsonar" / "controlplane" / digest[:16]


@dataclass(frozen=True, slots=True)
class Program:
    """A command: the module that pins it, and its package there."""

    module: Module
    package: str


def kubernetes(version: str) -> str:
    """The variable that tells Kubernetes' programs their release."""
    return f"k8s.io/component-base/version.gitVersion={version}"


def helm(version: str, kubernetes_version: str) -> tuple[str, ...]:
    """The variables that tell helm its version, and the Kubernetes of charts that are rendered without a cluster.

    Those that helm's own Makefile sets: without them it takes every cluster that it does not see for v1.20.
    """
    major, minor, _ = kubernetes_version.removeprefix("v").split(".")
    names = (
        "internal/chart/v3/lint/rules.k8sVersion",
        "internal/version.kubeClientVersion",
        "pkg/chart/common.k8sVersion",
        "pkg/chart/v2/lint/rules.k8sVersion",
    )
    parts = [f"{name}{part}={value}" for name in names for part, value in (("Major", major), ("Minor", minor))]
    return tuple(f"helm.sh/helm/v4/{one}" for one in (f"internal/version.version={version}", *parts))


NODES = Module(".", (1, 24), (kubernetes(OLDEST), *helm(HELM, OLDEST)))
NEWEST_SERVER = Module("newest", (1, 26), (kubernetes(NEWEST),))
SHARED = {
    "etcd": Program(NODES, "./etcd"),
    "helm": Program(NODES, "helm.sh/helm/v4/cmd/helm"),
    "coredns": Program(NODES, "./coredns"),
    "podtargets": Program(Module("podtargets", (1, 26)), "."),
}
PROGRAMS: dict[str, dict[str, Program]] = {
    OLDEST: {
        **SHARED,
        "kube-apiserver": Program(NODES, "k8s.io/kubernetes/cmd/kube-apiserver"),
        "kube-controller-manager": Program(NODES, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        "kube-proxy": Program(NODES, "k8s.io/kubernetes/cmd/kube-proxy"),
        "kube-scheduler": Program(NODES, "k8s.io/kubernetes/cmd/kube-scheduler"),
        "kubectl": Program(NODES, "k8s.io/kubernetes/cmd/kubectl"),
        "kubelet": Program(NODES, "k8s.io/kubernetes/cmd/kubelet"),
    },
    NEWEST: {**SHARED, "kube-apiserver": Program(NEWEST_SERVER, "k8s.io/kubernetes/cmd/kube-apiserver")},
}


def program(name: str, version: str) -> Program:
    """The program of a Kubernetes version (those of SHARED are the same for all)."""
    if version not in PROGRAMS:
        raise ApiServerError(f"Kubernetes version {version!r} is not known, expected one of {', '.join(VERSIONS)}")
    if name not in PROGRAMS[version]:
        raise ApiServerError(f"program {name!r} is not known, expected one of {', '.join(PROGRAMS[version])}")
    return PROGRAMS[version][name]
