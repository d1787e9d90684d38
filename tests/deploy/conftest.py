"""The chart as helm renders it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.controlplane.binaries import find_or_build

Object = dict[str, Any]

MONITORING = [f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule")]
OPENSHIFT = ["security.openshift.io/v1/SecurityContextConstraints"]


@dataclass(frozen=True)
class Chart:
    """The chart and the helm that renders it."""

    helm: Path
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The result of a helm command."""
        return subprocess.run([str(self.helm), *arguments], capture_output=True, text=True, check=False, timeout=60)

    def template(self, *arguments: str, release: str = "podsonar", namespace: str = "observe") -> list[Object]:
        """The rendered objects."""
        done = self.run("template", release, str(self.folder), "--namespace", namespace, *arguments)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    def refusal(self, *arguments: str) -> str:
        """The error of a chart that does not render."""
        done = self.run("template", "podsonar", str(self.folder), *arguments)
        assert done.returncode != 0, "it renders"
        return done.stderr

    def values(self) -> list[Path]:
        """The value files that the chart is tested with."""
        return sorted((self.folder / "ci").glob("*-values.yaml"))


@pytest.fixture(scope="session")
def chart(repository: Path) -> Chart:
    """The chart of this checkout, and a real helm (found or built)."""
    return Chart(find_or_build(("helm",))["helm"], repository / "deploy/charts/podsonar")


@pytest.fixture(scope="session")
def objects(chart: Chart) -> list[Object]:
    """The objects rendered from the default values."""
    return chart.template()


def only(objects: list[Object], kind: str, ending: str = "") -> Object:
    """The one object of a kind whose name ends in `ending`."""
    (found,) = [one for one in objects if one["kind"] == kind and one["metadata"]["name"].endswith(ending)]
    return found


def pod(workload: Object) -> Object:
    """The pod's spec in a workload's template."""
    spec: Object = workload["spec"]["template"]["spec"]
    return spec
