"""Measures how long listing a whole cluster takes, beside what a user would use instead, against one real API server.

    python bench/listing.py [--pods 50000] [--nodes 2000] [--services 2000] [--rounds 3] [--json FILE]

Rows: `kubectl get pods -A -o json`; the kubernetes client's typed models in pages of 500; `kubectl get --raw`, which is
the bytes alone; and Podsonar's whole path of every kind: list, select, redact, gzip, spool. Seconds are the best of the
rounds, each a process of its own, in turn; those of Python programs begin after their imports. Then the same path with
twice the pods, for its memory. Exit 1 if a budget is missed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
TICKS = os.sysconf("SC_CLK_TCK")
TYPED, WHOLE = "typed", "whole"


@dataclass(slots=True)
class Result:
    """One way's wall seconds and peak memory, and the API server's CPU seconds and requests."""

    seconds: float
    peak_mib: float
    server_cpu_seconds: float
    requests: int | None = None
    objects: int | None = None
    packed_bytes: int | None = None


def list_typed(kubeconfig: str) -> dict[str, Any]:
    """List all pods as models of the kubernetes client."""
    import kubernetes  # noqa: PLC0415 - the measured program's own import

    kubernetes.config.load_kube_config(kubeconfig)
    core = kubernetes.client.CoreV1Api()
    began, count, requests, token = time.perf_counter(), 0, 0, None
    while True:
        page = core.list_pod_for_all_namespaces(limit=500, _continue=token)
        count, requests, token = count + len(page.items), requests + 1, page.metadata._continue  # noqa: SLF001 - its public name there
        if not token:
            return {"seconds": time.perf_counter() - began, "objects": count, "requests": requests}


def list_whole(kubeconfig: str) -> dict[str, Any]:
    """Run Podsonar's path into a spool on disk."""
    from cluster_api.client import ApiClient  # noqa: PLC0415
    from collector.app import inventory_of, window_now  # noqa: PLC0415
    from delivery.batch import batch_of_payload  # noqa: PLC0415
    from delivery.spool import Spool  # noqa: PLC0415
    from directory.selection import Selection  # noqa: PLC0415
    from podsonar.logs_and_probes import start_logs  # noqa: PLC0415
    from podsonar.malloc import return_large_blocks  # noqa: PLC0415
    from podsonar.settings import CollectorSettings  # noqa: PLC0415

    start_logs("error", "text")
    return_large_blocks()
    settings = CollectorSettings()
    api = ApiClient.connect(Path(kubeconfig))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        spool = Spool(Path(folder))
        window = window_now(settings)
        began = time.perf_counter()
        inventory = inventory_of(api, settings, window, Selection.of(settings))
        for number, payload in enumerate(inventory.bodies(spool.folder), start=1):
            spool.put(batch_of_payload(payload, "inventory", window, f"{inventory.id}-{number}"))
        seconds = time.perf_counter() - began
        packed = spool.stats().bytes
        spool.close()
    incomplete = [
        kind for kind, item in inventory.kinds.items() if not item["complete"] and item["reason"] != "disabled"
    ]
    if incomplete:
        raise SystemExit(f"not complete: {incomplete}")
    objects = sum(item.get("count", 0) for item in inventory.kinds.values())
    return {"seconds": seconds, "objects": objects, "requests": api.requests, "packed_bytes": packed}


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid: int | str = "self") -> float:
    """The highest RSS of a process so far; 0 if it is gone (`getrusage` would include ours, before exec)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def measure(command: list[str], server: int) -> Result:
    """Run a command once; a Python program reports its own seconds on stdout."""
    before, began, peak = cpu_seconds(server), time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, cwd=REPOSITORY)
        while process.poll() is None:
            peak = max(peak, peak_mib(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        out.seek(0)
        reported = orjson.loads(out.read()) if command[0] == sys.executable else {}
    result = Result(seconds, peak, cpu_seconds(server) - before)
    for name, value in reported.items():
        setattr(result, name, value)
    return result


def fastest(results: list[Result]) -> Result:
    """The fastest run, with the highest peak of all."""
    chosen = min(results, key=lambda item: item.seconds)
    chosen.peak_mib = max(item.peak_mib for item in results)
    return chosen


def budgets(rows: dict[str, Result], doubled: Result) -> dict[str, tuple[float, float]]:
    """For each budget the measured value and the maximum."""
    ours, kubectl, raw = rows["podsonar, whole path"], rows["kubectl get -o json"], rows["kubectl get --raw"]
    return {
        "seconds / seconds of kubectl get -o json": (ours.seconds / kubectl.seconds, 1 / 6),
        "seconds / seconds of kubectl get --raw": (ours.seconds / raw.seconds, 2.0),
        "peak RSS, MiB": (ours.peak_mib, 100.0),
        "peak RSS with twice the pods / peak RSS": (doubled.peak_mib / ours.peak_mib, 1.1),
    }


def progress(text: str) -> None:
    """Print a line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def run(pods: int, nodes: int, services: int, rounds: int, report: Callable[[str], object]) -> dict[str, Any]:
    """Every row and budget."""
    import yaml  # noqa: PLC0415

    from lab.controlplane.binaries import find_or_build  # noqa: PLC0415
    from lab.controlplane.etcd_bulk_load import fill  # noqa: PLC0415
    from lab.controlplane.server import ControlPlane  # noqa: PLC0415
    from lab.demo.api_server import ACCOUNT, ROLE, permissions  # noqa: PLC0415

    kubectl_program = str(find_or_build(("kubectl",), report)["kubectl"])
    counts = {"Node": nodes, "Service": services, "Deployment": services, "ReplicaSet": services, "Pod": pods}
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder), report=report) as plane:
        fill(plane, counts, report)
        plane.apply(permissions(yaml.safe_load(ROLE.read_text())))
        kubeconfig = str(plane.kubeconfig_for(ACCOUNT["namespace"], ACCOUNT["name"]))
        server = plane.processes["kube-apiserver"].pid
        kubectl = [kubectl_program, "--kubeconfig", kubeconfig, "get"]
        python = [sys.executable, str(Path(__file__)), "--worker"]
        commands = {
            "kubectl get --raw": [*kubectl, "--raw", "/api/v1/pods"],
            "podsonar, whole path": [*python, WHOLE, kubeconfig],
            "kubernetes, typed models": [*python, TYPED, kubeconfig],
            "kubectl get -o json": [*kubectl, "pods", "-A", "-o", "json"],
        }
        results: dict[str, list[Result]] = {name: [] for name in commands}
        for number in range(rounds):
            for name, command in commands.items():
                if number == 0 or name in ("kubectl get --raw", "podsonar, whole path"):  # the slow ways run once
                    results[name].append(measure(command, server))
                    report(f"round {number + 1}: {name}: {results[name][-1].seconds:.2f} s")
        rows = {name: fastest(found) for name, found in results.items()}
        fill(plane, counts, report, first_pod=pods)
        doubled = measure(commands["podsonar, whole path"], server)
    return {"pods": pods, "rows": rows, "doubled": doubled, "budgets": budgets(rows, doubled)}


def table(found: dict[str, Any]) -> str:
    """The rows and budgets as text."""
    lines = [f"{'':34}{'seconds':>9}{'peak MiB':>10}{'API server CPU s':>18}{'requests':>10}"]
    for name, row in [*found["rows"].items(), ("podsonar, twice the pods", found["doubled"])]:
        requests = "" if row.requests is None else row.requests
        lines.append(f"{name:34}{row.seconds:9.2f}{row.peak_mib:10.0f}{row.server_cpu_seconds:18.2f}{requests:>10}")
    for name, (value, maximum) in found["budgets"].items():
        lines.append(f"{'met' if value <= maximum else 'NOT met'} {name}: {value:.3f}, at most {maximum:.3f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; or, as a worker, run the measured path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="")
    parser.add_argument("--worker", nargs=2, metavar=("WAY", "KUBECONFIG"))
    given = parser.parse_args()
    if given.worker:
        way, kubeconfig = given.worker
        reported = (list_whole if way == WHOLE else list_typed)(kubeconfig)
        sys.stdout.buffer.write(orjson.dumps({**reported, "peak_mib": peak_mib()}))
        return
    found = run(given.pods, given.nodes, given.services, given.rounds, progress)
    print(table(found))
    if given.json:
        rows = {
            name: asdict(row) for name, row in {**found["rows"], "podsonar, twice the pods": found["doubled"]}.items()
        }
        Path(given.json).write_bytes(orjson.dumps({**found, "rows": rows, "doubled": asdict(found["doubled"])}))
    if any(value > maximum for value, maximum in found["budgets"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
