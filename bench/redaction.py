"""Measures the CPU time of redaction: per pod of a cluster, and for strings that are made to take long.

    python bench/redaction.py [--pods 10000] [--small] [--json FILE]

Pods are those of the listing benchmark, in the order in which an API server lists them, in the collector's groups. CPU
time of this thread, the least of five rounds: other programs on the machine disturb it little. Exit 1 if a budget is
missed.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.report import Row, finish, machine, parser, raise_priority
from collector.inventory.inventory import CHUNK_OBJECTS
from collector.inventory.redaction import Redaction
from lab.controlplane.etcd_bulk_load import pod_spec, pod_status, texts_of, uid
from podsonar.gc_pause import gc_paused

ROUNDS, SMALL_ROUNDS = 5, 1
SERVICES, NODES = 2000, 2000
HOSTILE_BYTES, HOSTILE_SECONDS = 256 << 10, 0.05
# Each made a rule of the first version take time by the square of the length.
HOSTILE = ("a:b,", "token ", "-----BEGIN ", "eyJabcdefgh", "x@", '"', "\\")


def pod(number: int) -> dict[str, Any]:
    """A running pod as the API server lists it."""
    texts = texts_of("Pod", number, SERVICES, NODES)
    app = texts["APP"]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": texts["OWNER"], "controller": True}
    written = {"manager": "kubelet", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {}}}
    meta = {
        "name": texts["NAME"],
        "namespace": texts["NAMESPACE"],
        "uid": uid("c", number),
        "resourceVersion": str(number),
        "creationTimestamp": "2026-11-24T10:15:00Z",
        "labels": {"app": app, "app.kubernetes.io/name": app, "tier": "backend"},
        "annotations": {"prometheus.io/scrape": "true", "checksum/config": "ab" * 32, "example.com/note": "x" * 200},
        "ownerReferences": [owner],
        "managedFields": [written],
    }
    spec = {**pod_spec(app), "nodeName": texts["NODE"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": pod_status(texts)}


def cpu_seconds(action: Callable[[], object], rounds: int) -> float:
    """The least CPU time of this thread that an action took."""
    least = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        with gc_paused():
            action()
        least = min(least, time.thread_time() - began)
    return least


def write_again(groups: list[bytes]) -> None:
    """Parse and write every group, without redaction."""
    for group in groups:
        orjson.dumps(orjson.loads(group))


def redact(groups: list[bytes], redaction: Redaction) -> None:
    """Parse, redact and write every group."""
    for group in groups:
        redaction.json("Pod", orjson.loads(group))


def hostile_seconds(piece: str, rounds: int) -> float:
    """CPU time of a pod with one hostile annotation that is kept, so that the rules for patterns see it."""
    text = (piece * (HOSTILE_BYTES // len(piece) + 1))[:HOSTILE_BYTES]
    content = orjson.dumps([{"metadata": {"annotations": {"a": text}}}])
    redaction = Redaction("patterns")
    return cpu_seconds(lambda: redaction.json("Pod", orjson.loads(content)), rounds)


def rows_of(pods: int, rounds: int) -> list[Row]:
    """Every row."""
    listed = sorted(map(pod, range(pods)), key=lambda obj: (obj["metadata"]["namespace"], obj["metadata"]["name"]))
    groups = [orjson.dumps(listed[first : first + CHUNK_OBJECTS]) for first in range(0, pods, CHUNK_OBJECTS)]
    count = len(listed)
    size = sum(map(len, groups)) / count
    plain = cpu_seconds(lambda: write_again(groups), rounds) / count * 1e6
    redacted = cpu_seconds(lambda: redact(groups, Redaction()), rounds) / count * 1e6
    worst = max((hostile_seconds(piece, rounds), piece) for piece in HOSTILE)
    return [
        Row("bytes per pod", f"{size:.0f}", figures={"bytes": size}),
        Row("parse and write, µs per pod", f"{plain:.1f}", figures={"microseconds": plain}),
        Row("parse, redact and write, µs per pod", f"{redacted:.1f}", figures={"microseconds": redacted}),
        Row("redaction alone, µs per pod", f"{redacted - plain:.1f}", figures={"microseconds": redacted - plain}),
        Row("redaction alone, s per 50,000 pods", f"{(redacted - plain) * 0.05:.2f}"),
        Row(
            f"slowest of {len(HOSTILE)} hostile strings of 256 KiB, ms",
            f"{worst[0] * 1000:.1f}",
            f"at most {HOSTILE_SECONDS * 1000:.0f}",
            worst[0] <= HOSTILE_SECONDS,
            {"milliseconds": worst[0] * 1000, "piece": worst[1]},
        ),
    ]


def main() -> int:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--pods", type=int, default=10_000)
    given = options.parse_args()
    raise_priority()
    rows = rows_of(1000 if given.small else given.pods, SMALL_ROUNDS if given.small else ROUNDS)
    return finish("redaction", rows, given.json, machine())


if __name__ == "__main__":
    sys.exit(main())
