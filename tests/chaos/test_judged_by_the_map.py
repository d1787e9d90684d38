"""A real fault on real pods, traced by the real agent, judged by the maps of the windows before, in and after it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from click.testing import CliRunner

from chaos.faults.fault import PacketLoss
from chaos.faults.holder_client import hold
from cli.demo.command import wait_until_traced
from cli.demo.processes import AGENT, Manager, free_port, managed, program, wait_for
from cli.main import podsonar
from lab.demo import api_server, shop
from lab.simulated.pods import Lab
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, rfc3339

pytestmark = [pytest.mark.timeout(900), pytest.mark.kernel, pytest.mark.cluster, pytest.mark.long]

WINDOW_SECONDS, DELIVERY_SECONDS = 20.0, 90.0
LEAD_SECONDS = (12.0, 40.0, 90.0)  # the loader compiles meanwhile; on a busy machine a window is taken again
CART, CART_PORT = "10.96.7.10", 8080
EDGE = "shop/frontend -> shop/cart:8080"
HYPOTHESIS = f"""
fault: edge-partition
target: {{edge: "{EDGE}"}}
hypothesis:
  breaks: ["{EDGE}"]
"""


class Site:
    """The demo's cluster, whose windows are taken one by one."""

    def __init__(self, stack: ExitStack) -> None:
        self.manager: Manager = managed(stack, free_port(0))
        served = stack.enter_context(api_server.serving(self.manager.folder, shop.objects(), lambda _text: None))
        uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in served.objects if item["kind"] == "Pod"}
        self.lab = stack.enter_context(Lab())
        shop.start_pods(self.lab, uids)
        options = ("--config", str(self.manager.folder / "collector.yaml"), "--kubeconfig", str(served.kubeconfig))
        stack.enter_context(program(self.manager.folder / "collector.log", "collector", "run", "--now", *options))
        wait_for(f"http://{self.manager.directory}/", "the collector's directory")
        self.uids = uids
        self.count, self.released_by = 0, "G2"

    def cgroup(self, workload: str) -> Path:
        """The version 2 cgroup of a workload's first pod."""
        uid = self.uids[shop.first_pods()[workload]]
        (found,) = {
            path
            for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
            if (root / "cgroup.controllers").exists()
            for path in (root / self.lab.run).rglob(f"pod{uid}")
        }
        return found

    def observe(self, *, broken: bool = False) -> dict[str, Any]:
        """The map of a window in which every edge is used; with `broken`, while a fault is on the edge to the cart.

        A window that the agent did not observe whole, since it was not ready in time, is taken again, and so is one in
        which a busy machine let five seconds pass without a beat, which ends the fault.
        """
        found: dict[str, Any] = {}
        for lead in LEAD_SECONDS:
            found = self.observe_once(lead, broken)
            if {one["observed"] for one in found["coverage"].values()} == {"whole"} and self.released_by == "G2":
                break
        return found

    def observe_once(self, lead_seconds: float, broken: bool) -> dict[str, Any]:
        """The map of one window that begins after some seconds."""
        self.count, self.released_by = self.count + 1, "G2"
        folder, pods = self.manager.folder, shop.first_pods()
        start_ns = time.time_ns() + int(lead_seconds * NS_PER_SECOND)
        end_ns = start_ns + int(WINDOW_SECONDS * NS_PER_SECOND)
        log = folder / f"agent-{self.count}.log"
        once = ("--once-window", rfc3339(start_ns), rfc3339(end_ns))
        with program(log, "agent", "run", "--config", str(folder / "agent.yaml"), *once) as agent:
            wait_until_traced(log, end_ns)
            time.sleep(max(0.0, (start_ns - time.time_ns()) / NS_PER_SECOND))
            for edge in shop.EDGES:
                if edge.mode != "hold" and not (broken and (edge.source, edge.address) == ("frontend", CART)):
                    self.lab.pods[pods[edge.source]].connect(edge.address, edge.port, edge.count, edge.mode)
            if broken:
                fault = PacketLoss(self.cgroup("frontend"), networks=(CART,), remote_ports=(CART_PORT,))
                with hold(fault, WINDOW_SECONDS + 30) as held:
                    # Each stays in SYN_SENT: nothing of them comes back.
                    self.lab.pods[pods["frontend"]].connect(CART, CART_PORT, 23, "pending")
                    while time.time_ns() < end_ns:
                        held.beat()
                        time.sleep(0.5)
                    released = held.release()
                assert released.counters["hit"] >= 23
                self.released_by = released.by
            assert agent.wait(WINDOW_SECONDS + DELIVERY_SECONDS) == 0, log.read_text()[-2000:]
        return self.map_of(Window(start_ns, end_ns))

    def map_of(self, window: Window) -> dict[str, Any]:
        """The map of a window."""
        answer = httpx.get(
            f"{self.manager.url}/api/v1/agents/{AGENT}/map",
            params={"window": window.id},
            headers={"X-API-Key": self.manager.key},
            trust_env=False,
            timeout=30,
        )
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the maps of a baseline, a fault and a recovery window."""
    folder = tmp_path_factory.mktemp("windows")
    with ExitStack() as stack:
        site = Site(stack)
        for name, broken in (("baseline", False), ("fault", True), ("recovery", False)):
            (folder / f"{name}.json").write_bytes(orjson.dumps(site.observe(broken=broken)))
        yield folder


def judge(windows: Path, hypothesis: str, **names: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of `podsonar chaos judge`; `names` replace windows."""
    file = windows / "hypothesis.yaml"
    file.write_text(hypothesis)
    given = {one: one for one in ("baseline", "fault", "recovery")} | names
    options = [word for option, name in given.items() for word in (f"--{option}", f"@{windows}/{name}.json")]
    result = CliRunner().invoke(podsonar, ["chaos", "judge", *options, "--hypothesis", str(file), "--json"])
    return result.exit_code, orjson.loads(result.stdout)


def test_partitioned_edge_breaks_and_nothing_else(windows: Path) -> None:
    """Pass: the edge made its attempts and none was established; every other edge kept its count; it recovers."""
    code, report = judge(windows, HYPOTHESIS)
    assert (code, report["verdict"], report["surprises"]) == (0, "Pass", []), report["reasons"]
    states = {one["edge"]: one for one in report["edges"]}
    broken = states[EDGE]
    assert (broken["state"], broken["recovery"]) == ("broken", "ok")
    assert (broken["baseline"]["established"], broken["fault"]["attempts"], broken["fault"]["established"]) == (
        23,
        23,
        0,
    )
    assert {one["state"] for name, one in states.items() if name != EDGE} <= {"ok", "already broken", "not exercised"}
    assert states["shop/catalog -> shop/cart:8080"]["fault"]["established"] == 5
    assert report["predictedAndSeen"] == [EDGE]


def test_wrong_hypothesis_fails_with_the_edges_named(windows: Path) -> None:
    """Another edge was said to break: it held, and the one that broke is a surprise."""
    wrong = HYPOTHESIS.replace("shop/cart:8080", "shop/catalog:8080")
    code, report = judge(windows, wrong)
    assert (code, report["verdict"], report["surprises"]) == (1, "Fail", [EDGE])
    assert any("expected that it breaks: ok" in one for one in report["reasons"])
    assert any(one.startswith(f"{EDGE}: broken") for one in report["reasons"])


def test_no_fault_is_no_pass(windows: Path) -> None:
    """The same hypothesis over a window without a fault fails; it never passes for want of evidence."""
    code, report = judge(windows, HYPOTHESIS, fault="recovery", recovery="fault")
    assert (code, report["verdict"]) == (1, "Fail")


def test_unobserved_node_is_not_available(windows: Path) -> None:
    """The same windows, but the agent's report of the fault says that something was lost."""
    document = orjson.loads((windows / "fault.json").read_bytes())
    (counts,) = document["observation"].values()
    counts["lost"] = {"table_full": 14}
    (windows / "lossy.json").write_bytes(orjson.dumps(document))
    code, report = judge(windows, HYPOTHESIS, fault="lossy")
    assert (code, report["verdict"]) == (4, "N/A")
    assert any("lost 14" in one for one in report["reasons"])
