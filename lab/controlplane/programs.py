"""The programs that can be built: for each the Go module folder below `gomod` that pins it, and its cache folder.

`VERSIONS` are the Kubernetes releases that Podsonar is tested against, oldest first. All have kube-apiserver; the
oldest also has what nodes need, in one module, so that shared packages compile once. A build is kept by the hash of its
own module's go.sum: a new pin of one module leaves the programs of the others in the cache.
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
    """A folder that pins programs: the oldest Go that builds them, and the linker variables that set their version."""

    folder: str
    oldest_go: tuple[int, int]
    variables: tuple[str, ...] = ()

    def cache_folder(self, environ: Mapping[str, str]) -> Path:
        """The folder that holds the module's built programs."""
        digest = hashlib.sha256((MODULES / self.folder / "go.sum").read_bytes()).hexdigest()
        root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
        return Path(root) / "podsonar" / "controlplane" / digest[:16]


@dataclass(frozen=True, slots=True)
class Program:
    """A command: the module that pins it, and its package in that module."""

    module: Module
    package: str


def kubernetes_version_variable(version: str) -> str:
    """The linker variable that sets the release of Kubernetes' programs."""
    return f"k8s.io/component-base/version.gitVersion={version}"


def helm_version_variables(version: str, kubernetes_version: str) -> tuple[str, ...]:
    """The linker variables that set helm's version and the Kubernetes version of charts rendered without a cluster.

    Those that helm's own Makefile sets: without them helm assumes v1.20 for every cluster that it does not see.
    """
    major, minor, _ = kubernetes_version.removeprefix("v").split(".")
    names = (
        "internal/chart/v3/lint/rules.k8sVersion",
        "internal/version.kubeClientVersion",
        "pkg/chart/common.k8sVersion",
        "pkg/chart/v2/lint/rules.k8sVersion",
    )
    parts = [f"{name}{part}={value}" for name in names for part, value in (("Major", major), ("Minor", minor))]
    return tuple(f"helm.sh/helm/v4/{spec}" for spec in (f"internal/version.version={version}", *parts))


NODE_MODULE = Module(".", (1, 24), (kubernetes_version_variable(OLDEST), *helm_version_variables(HELM, OLDEST)))
NEWEST_SERVER_MODULE = Module("newest", (1, 26), (kubernetes_version_variable(NEWEST),))
SHARED_PROGRAMS = {
    "etcd": Program(NODE_MODULE, "./etcd"),
    "helm": Program(NODE_MODULE, "helm.sh/helm/v4/cmd/helm"),
    "coredns": Program(NODE_MODULE, "./coredns"),
    "podtargets": Program(Module("podtargets", (1, 26)), "."),
}
PROGRAMS: dict[str, dict[str, Program]] = {
    OLDEST: {
        **SHARED_PROGRAMS,
        "kube-apiserver": Program(NODE_MODULE, "k8s.io/kubernetes/cmd/kube-apiserver"),
        "kube-controller-manager": Program(NODE_MODULE, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        "kube-proxy": Program(NODE_MODULE, "k8s.io/kubernetes/cmd/kube-proxy"),
        "kube-scheduler": Program(NODE_MODULE, "k8s.io/kubernetes/cmd/kube-scheduler"),
        "kubectl": Program(NODE_MODULE, "k8s.io/kubernetes/cmd/kubectl"),
        "kubelet": Program(NODE_MODULE, "k8s.io/kubernetes/cmd/kubelet"),
    },
    NEWEST: {
        **SHARED_PROGRAMS,
        "kube-apiserver": Program(NEWEST_SERVER_MODULE, "k8s.io/kubernetes/cmd/kube-apiserver"),
    },
}


def find_program(name: str, version: str) -> Program:
    """The program of a Kubernetes version (SHARED_PROGRAMS are the same for all)."""
    if version not in PROGRAMS:
        raise ApiServerError(f"Kubernetes version {version!r} is not known, expected one of {', '.join(VERSIONS)}")
    if name not in PROGRAMS[version]:
        raise ApiServerError(f"program {name!r} is not known, expected one of {', '.join(PROGRAMS[version])}")
    return PROGRAMS[version][name]
