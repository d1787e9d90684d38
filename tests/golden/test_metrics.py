"""Which metrics each program serves, read from the running program; docs/metrics.md says what they mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from cli.demo.processes import free_port, program, wait_for
from lab.demo import shop
from lab.demo.fake_api_server import kubeconfig, serving
from manager.server import serving as serving_manager
from tests.acceptance.agent_process import agent
from tests.golden.conftest import GoldenNames


def families(exposition: str) -> list[str]:
    """Name and type of each metric."""
    return [line.removeprefix("# TYPE ") for line in exposition.splitlines() if line.startswith("# TYPE ")]


def scraped(url: str) -> str:
    """The metrics at a program's URL."""
    return httpx.get(f"{url}/metrics", timeout=30, trust_env=False).raise_for_status().text


@contextmanager
def collector(folder: Path) -> Iterator[str]:
    """The metrics URL of a collector that lists the demo's objects and has no manager."""
    (folder / "token").write_text("podsonar_0123456789ab_" + "A" * 43)
    settings = {
        "manager": {"url": "http://127.0.0.1:1", "tokenFile": str(folder / "token")},
        "directory": {"listen": "127.0.0.1:0", "tokenFile": str(folder / "token")},
        "spool": {"folder": str(folder / "spool")},
        "metrics": {"listen": f"127.0.0.1:{free_port(0)}"},
    }
    (folder / "settings.yaml").write_bytes(orjson.dumps(settings))
    with serving(shop.objects()) as api_server:
        (folder / "kubeconfig").write_bytes(orjson.dumps(kubeconfig(api_server)))
        words = ("--config", str(folder / "settings.yaml"), "--kubeconfig", str(folder / "kubeconfig"))
        with program(folder / "log", "collector", "run", *words):
            url = f"http://{settings['metrics']['listen']}"
            wait_for(f"{url}/livez", "the collector")
            yield url


def test_collector_serves_the_recorded_metrics(golden_names: GoldenNames, tmp_path: Path) -> None:
    """Inventory, directory and delivery."""
    with collector(tmp_path) as url:
        golden_names("metrics/collector.txt", families(scraped(url)))


def test_manager_serves_the_recorded_metrics(golden_names: GoldenNames, tmp_path: Path) -> None:
    """Ingest and store."""
    with serving_manager(f"sqlite:///{tmp_path}/manager.db") as url:
        golden_names("metrics/manager.txt", families(scraped(url)))


@pytest.mark.kernel
def test_node_agent_serves_the_recorded_metrics(golden_names: GoldenNames, tmp_path: Path) -> None:
    """Tracing and delivery."""
    with agent(tmp_path, starts_in=3600) as running:
        running.wait_until(running.ready)
        golden_names("metrics/node-agent.txt", families(running.get("/metrics")[1]))
