"""What can be built: each program, the Go module folder below `gomod` that pins it, and where its build is kept.

`VERSIONS` are the Kubernetes releases that Podsonar is tested against, oldest first. All of them have kube-apiserver;
the oldest also has what nodes need. A build is kept by the hash of its own module's go.sum, so that a new pin of one
module leaves the programs of the others where they are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from discovery.errors import ApiServerError

MODULES = Path(__file__).parent / "gomod"
OLDEST = "v1.34.4"
NEWEST = "v1.37.2"
VERSIONS = (OLDEST, NEWEST)
HELM = "v4.3.1"


@dataclass(frozen=True, slots=True)
class Module:
    """A folder that pins programs: the oldest Go that builds them, and the variable that tells them their version."""

    folder: str
    oldest_go: tuple[int, int]
    version_variable: str = ""

    def cache_folder(self, environ: Mapping[str, str]) -> Path:
        """Where its programs are kept once built."""
        digest = hashlib.sha256((MODULES / self.folder / "go.sum").read_bytes()).hexdigest()
        root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
        return Path(root) / "podsonar" / "controlplane" / digest[:16]


@dataclass(frozen=True, slots=True)
class Program:
    """A command: the module that pins it, its package, and the minutes that a cold build takes on two cores."""

    module: Module
    package: str
    minutes: int = 1


def kubernetes(folder: str, oldest_go: tuple[int, int], version: str) -> Module:
    """A module that pins a Kubernetes release."""
    return Module(folder, oldest_go, f"k8s.io/component-base/version.gitVersion={version}")


ETCD = Program(Module("etcd", (1, 24)), "go.etcd.io/etcd/server/v3")
ADDONS = Module("addons", (1, 26), f"helm.sh/helm/v4/internal/version.version={HELM}")
OLDEST_MODULE = kubernetes(".", (1, 24), OLDEST)
NEWEST_MODULE = kubernetes("newest", (1, 26), NEWEST)
SHARED = {
    "etcd": ETCD,
    "helm": Program(ADDONS, "helm.sh/helm/v4/cmd/helm", 2),
    "coredns": Program(ADDONS, "./coredns"),
    "podtargets": Program(Module("podtargets", (1, 26)), "."),
}
PROGRAMS: dict[str, dict[str, Program]] = {
    OLDEST: {
        **SHARED,
        "kube-apiserver": Program(OLDEST_MODULE, "k8s.io/kubernetes/cmd/kube-apiserver", 3),
        "kube-controller-manager": Program(OLDEST_MODULE, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        "kube-proxy": Program(OLDEST_MODULE, "k8s.io/kubernetes/cmd/kube-proxy"),
        "kube-scheduler": Program(OLDEST_MODULE, "k8s.io/kubernetes/cmd/kube-scheduler"),
        "kubectl": Program(OLDEST_MODULE, "k8s.io/kubernetes/cmd/kubectl"),
        "kubelet": Program(OLDEST_MODULE, "k8s.io/kubernetes/cmd/kubelet"),
    },
    NEWEST: {**SHARED, "kube-apiserver": Program(NEWEST_MODULE, "k8s.io/kubernetes/cmd/kube-apiserver", 3)},
}


def program(name: str, version: str) -> Program:
    """The program of a Kubernetes version (those of SHARED are the same for all)."""
    if version not in PROGRAMS:
        raise ApiServerError(f"Kubernetes version {version!r} is not known, expected one of {', '.join(VERSIONS)}")
    if name not in PROGRAMS[version]:
        raise ApiServerError(f"program {name!r} is not known, expected one of {', '.join(PROGRAMS[version])}")
    return PROGRAMS[version][name]
