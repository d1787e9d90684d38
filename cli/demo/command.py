"""`podsonar demo`: the whole job on this machine, compared with the known truth."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click
import httpx
import orjson
from rich.console import Console
from rich.table import Table

from cli.demo.processes import AGENT, Manager, free_port, managed, program, wait_for
from cli.demo.replay import replayed
from lab.demo import api_server, compare, shop
from lab.simulated import cgroups
from lab.simulated.network import LabError
from lab.simulated.pods import Lab
from podsonar.errors import PodsonarError, PreflightError
from podsonar.keep_alive import CLIENT_IDLE_SECONDS
from podsonar.timestamp import NS_PER_SECOND, rfc3339

LEAD_SECONDS = 8.0  # the loader compiles meanwhile
DELIVERY_SECONDS = 60.0


def uids_of(objects: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """The uids that a destination of the truth may have, by (kind, name); a pod goes by its workload's name."""
    found: dict[tuple[str, str], set[str]] = {}
    for item in objects:
        metadata = item["metadata"]
        name = metadata["labels"]["app"] if item["kind"] == "Pod" else metadata["name"]
        found.setdefault((item["kind"], name), set()).add(metadata["uid"])
    return found


def why_untraced(log: Path) -> str | None:
    """The agent's own words on why it has no tracer, or None."""
    for line in log.read_text(errors="replace").splitlines():
        if "tracer_unavailable" in line:
            quoted = re.search(r'\berror="((?:[^"\\]|\\.)*)"', line)
            return quoted[1] if quoted else line
    return None


def wait_until_traced(log: Path, end_ns: int) -> None:
    """The agent traces; PreflightError in its own words where it cannot, PodsonarError where the window is over."""
    while time.time_ns() < end_ns:
        if reason := why_untraced(log):
            raise PreflightError(reason)
        if "event=tracing" in log.read_text(errors="replace"):
            return
        time.sleep(0.1)
    raise PodsonarError("the node agent did not trace before its window was over: this machine is busy; use --seconds")


def observe(lab: Lab, folder: Path, seconds: float, say: Console) -> list[dict[str, Any]]:
    """The truth of a window that the real node agent observed and delivered."""
    truths = shop.make_connects(lab, before_window=True)
    start_ns = time.time_ns() + int(LEAD_SECONDS * NS_PER_SECOND)
    end_ns = start_ns + int(seconds * NS_PER_SECOND)
    window = ("--once-window", rfc3339(start_ns), rfc3339(end_ns))
    with program(folder / "agent.log", "agent", "run", "--config", str(folder / "agent.yaml"), *window) as agent:
        wait_until_traced(folder / "agent.log", end_ns)
        time.sleep(max(0.0, (start_ns - time.time_ns()) / NS_PER_SECOND))
        say.print("demo: the pods connect")
        truths += shop.make_connects(lab, before_window=False)
        late_seconds = (time.time_ns() - end_ns) / NS_PER_SECOND
        if late_seconds > 0:
            raise PodsonarError(
                f"the pods were done {late_seconds:.1f} s after the window of {seconds:g} s: this machine is busy; "
                f"use --seconds {seconds + late_seconds + 10:.0f}"
            )
        try:
            code = agent.wait(seconds + DELIVERY_SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
    if reason := why_untraced(folder / "agent.log"):
        raise PreflightError(reason)
    if code:
        lines = (folder / "agent.log").read_text(errors="replace").splitlines()
        raise PodsonarError(f"the node agent ended with {code}: {' | '.join(lines[-3:])[:600]}")
    return truths


def missing() -> str | None:
    """What tracing needs and this machine lacks; None if it has all."""
    if os.geteuid():
        return "not root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "no /sys/kernel/btf/vmlinux"
    return None if cgroups.available() else "no cgroups, iproute2 or nftables"


def traced(stack: ExitStack, port: int, seconds: float, say: Console) -> dict[str, Any]:
    """The document of real pods, observed by the real collector and node agent; PreflightError where none can be."""
    manager = managed(stack, port)
    folder = manager.folder
    say.print("demo: manager runs, starting API server, pods and collector")
    served = stack.enter_context(api_server.serving(folder, shop.objects(), lambda text: say.print(f"demo: {text}")))
    say.print(f"demo: API server: {served.kind}")
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in served.objects if item["kind"] == "Pod"}
    try:
        lab = stack.enter_context(Lab())
        shop.start_pods(lab, uids)
    except (LabError, OSError) as error:
        raise PreflightError(f"no pods can be made: {error}") from error
    collector = ("--config", str(folder / "collector.yaml"), "--kubeconfig", str(served.kubeconfig))
    stack.enter_context(program(folder / "collector.log", "collector", "run", "--now", *collector))
    wait_for(f"http://{manager.directory}/", "the collector's directory")
    truths = observe(lab, folder, seconds, say)
    return {**answer(manager, truths, served.objects), "apiServer": served.kind}


def untraced(stack: ExitStack, port: int) -> dict[str, Any]:
    """The document of the bundled capture."""
    manager = managed(stack, port)
    document = answer(manager, replayed(manager.folder, manager.url), shop.objects())
    return {**document, "tracer": "replay", "apiServer": "recorded"}


def observed(stack: ExitStack, port: int, seconds: float, say: Console) -> dict[str, Any]:
    """The document of what can be observed here; its manager answers until the stack ends."""
    lacking = missing()
    if lacking is None:
        with ExitStack() as attempt:
            try:
                document = traced(attempt, port, seconds, say)
            except PreflightError as error:
                lacking = " ".join(str(error).split())
            else:
                stack.push(attempt.pop_all())
                return document
    say.print(
        f"demo: no tracing here ({lacking}): replaying a bundled capture through the same stages",
        soft_wrap=True,
        markup=False,
    )
    return untraced(stack, port)


def answer(manager: Manager, truths: list[dict[str, Any]], objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The demo's document, from the manager's API."""
    base, headers = f"{manager.url}/api/v1", {"X-API-Key": manager.key}
    limits = httpx.Limits(keepalive_expiry=CLIENT_IDLE_SECONDS)
    with httpx.Client(base_url=base, headers=headers, limits=limits, trust_env=False, timeout=30) as client:
        shown = client.get(f"/agents/{AGENT}/map", params={"window": "latest"}).raise_for_status().json()
        rows: list[dict[str, Any]] = []
        while True:
            query = {"page": len(rows) // 100, "limit": 100}
            got = client.get(f"/agents/{AGENT}/connections", params=query).raise_for_status().json()
            rows += got["items"]
            if len(got["items"]) < 100:
                break
    owned = [item["metadata"] for item in objects if item["kind"] in {"Pod", "ReplicaSet", "Deployment"}]
    workloads = {metadata["name"]: metadata["labels"]["app"] for metadata in owned}
    document = compare.compare_edges(truths, [row["spec"] for row in rows], workloads, uids_of(objects))
    ends = compare.accepting_ends(shown, workloads)
    for edge in document["edges"]:
        place = (edge["source"], edge["destination"]["name"], str(edge["port"]))
        edge.update({"accepted": None, "bothEnds": None, **ends.get(place, {})})
    counts = shown["observation"].get("nodes", shown["observation"])
    node = next(iter(counts.values()))
    document["attempts"] |= {"lost": sum(node["lost"].values()), "lostBy": node["lost"]}
    recall = shown["recall"]["value"]
    return {"tracer": node["tracer"], **document, "recall": recall, "manager": manager_link(manager)}


def manager_link(manager: Manager) -> dict[str, str]:
    """Where the demo's manager is, and its page with the key that opens it (both end with the demo)."""
    return {"url": manager.url, "page": f"{manager.url}/#key={manager.key}"}


def show(document: dict[str, Any], say: Console) -> None:
    """The table of edges and the line that sums up."""
    columns = ("source", "destination", "port", "attempts", "established", "failed", "both ends", "ok")
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for edge in document["edges"]:
        seen = edge["seen"] or {"attempts": "-", "established": "-", "failed": "-"}
        to = f"{edge['destination']['kind']} {edge['destination']['name']}"
        counts = [str(seen[name]) for name in ("attempts", "established", "failed")]
        both = {True: "yes", False: "no", None: "-"}[edge["bothEnds"]]
        table.add_row(edge["source"], to, str(edge["port"]), *counts, both, "yes" if edge["found"] else "NO")
    say.print(table)
    say.print(
        f"edges {document['foundEdges']}/{document['trueEdges']}, wrong {document['wrongEdges']}, "
        f"connects lost {document['attempts']['lost']}, recall {document['recall']}"
    )
    if document["attempts"]["lost"]:
        say.print(f"lost by reason: {document['attempts']['lostBy']}")


def stop_by_exit(number: int, _frame: object) -> None:
    """SIGTERM and Ctrl-C unwind, and end with the shell's exit code for them."""
    raise SystemExit(128 + number)


@click.command()
@click.option("--seconds", type=click.FloatRange(min=3, max=600), default=20, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="The map page's port.")
@click.option("--keep", is_flag=True, help="Serve the map until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def demo(seconds: float, port: int, keep: bool, as_json: bool) -> None:
    """The whole job on this machine, compared with the known truth."""
    free_port(port)
    say = Console(stderr=as_json)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_by_exit)
    with ExitStack() as stack:
        document = observed(stack, port, seconds, say)
        show(document, say)
        page = document["manager"]["page"] if keep else "gone with the demo; --keep leaves it open"
        say.print(f"map: {page}", soft_wrap=True, markup=False)
        if as_json:
            click.echo(orjson.dumps(document).decode())
        if keep:
            with suppress(KeyboardInterrupt):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.pause()
    if document["wrongEdges"] or document["foundEdges"] != document["trueEdges"]:
        sys.exit(1)
