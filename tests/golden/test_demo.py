"""The demo without a kernel to trace: the bundled capture goes through every stage into a real manager."""

from contextlib import ExitStack

import httpx
import pytest

from cli.demo.command import untraced
from cli.demo.processes import AGENT, free_port
from tests.golden.conftest import Golden

pytestmark = pytest.mark.long


def test_bundled_capture_finds_every_edge_and_gives_the_recorded_map(golden: Golden) -> None:
    """Every true edge, no wrong one, every connect; the manager's map is the recorded one."""
    with ExitStack() as stack:
        document = untraced(stack, free_port(0))
        manager = document["manager"]
        key = manager["page"].partition("#key=")[2]
        answer = httpx.get(
            f"{manager['url']}/api/v1/agents/{AGENT}/map", headers={"X-API-Key": key}, timeout=30, trust_env=False
        ).raise_for_status()
    assert document["foundEdges"] == document["trueEdges"] >= 12
    assert document["wrongEdges"] == 0
    assert document["attempts"] == {"made": 276, "seen": 276, "lost": 0, "lostBy": {}}
    golden("map.json", answer.text + "\n")
