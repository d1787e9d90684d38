"""`podsonar replay` and `podsonar collector once` print the recorded bodies: the published log, the demo's cluster."""

import re
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from cli.demo.replay import RECORDED
from cli.main import podsonar
from lab.demo import shop
from lab.demo.fake_api_server import kubeconfig, serving
from tests.golden.conftest import Golden

LOG = Path("tests/fixtures/node-agent-sample.log")
# What names the run and not the cluster.
OF_THE_RUN = re.compile(r'"window":\{[^}]*\}|"id":"[0-9a-f]{32}"|"sequence":\d+')
CAPTURE, INVENTORY = RECORDED / "shop.capture", RECORDED / "shop.inventory"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("log", [str(LOG)]),
        ("capture", [str(CAPTURE), "--inventory", str(INVENTORY)]),
    ],
)
def test_replay_prints_the_recorded_body_and_a_line_for_each_flow(
    golden: Golden, repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    """The body is on stdout; each flow is on stderr, with its destination or the reason why it was left out."""
    monkeypatch.chdir(repository)
    done = CliRunner().invoke(podsonar, ["replay", *words, "--log-level", "debug"])
    assert done.exit_code == 0, done.output
    golden(f"replay/{name}.json", done.stdout)
    golden(f"replay/{name}.flows", done.stderr)


def test_collector_prints_the_recorded_inventory(golden: Golden, tmp_path: Path) -> None:
    """`collector once` of the demo's objects: each list and the head, but for window, id and sequence."""
    with serving(shop.objects()) as url:
        (tmp_path / "kubeconfig").write_bytes(orjson.dumps(kubeconfig(url)))
        done = CliRunner().invoke(podsonar, ["collector", "once", "--kubeconfig", str(tmp_path / "kubeconfig")])
    assert done.exit_code == 0, done.output
    body, count = OF_THE_RUN.subn("", done.stdout)
    assert count == 3
    golden("inventory.json", body)
