"""Holds one fault: reads an order, makes the fault, gives up every capability, and waits for the end.

    python3 -I -S -B holder.py

One JSON line on stdin is the order, each further line a beat; `release`, the end of stdin, five seconds without a beat,
or the deadline end the fault. It answers `{"ready": …}` or `{"error": …}`, and at the end `{"released": …}`. Standard
library only; it has no network and no compiler.
"""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

sys.path.insert(0, __file__.rpartition("/chaos/")[0])  # it runs as a script, by its whole path

from chaos.faults.bpf_link import CONNECT4, CONNECT6, EGRESS, INGRESS, RuleMap, attach
from chaos.faults.delay_line import DelayLine
from chaos.faults.hog import Hogs, burn, fill
from chaos.faults.network_rule import HIT_AT, SEEN_AT, pack_rule
from chaos.faults.privileges import drop_capabilities

SILENT_SECONDS = 5.0
LOOK_SECONDS = 0.2
HOG_GRACE_SECONDS = 1.0  # the holder ends hogs at the deadline; their own alarm comes later
NS = 1_000_000_000

Order = dict[str, Any]


class NetworkFault:
    """Links to the cgroup; the descriptors are the fault."""

    descriptors: Sequence[int] = ()

    def __init__(self, order: Order, deadline_ns: int) -> None:
        self.maps: list[RuleMap] = []
        self.links: list[int] = []
        cgroup = os.open(order["cgroup"], os.O_RDONLY | os.O_DIRECTORY)
        try:
            refuses = order["kind"] == "connect-refusal"
            for where in (CONNECT4, CONNECT6) if refuses else (INGRESS, EGRESS)[: 2 if order.get("partition") else 1]:
                rules = RuleMap(pack_rule(order["rule"] | {"egress": where is EGRESS}, deadline_ns))
                self.maps.append(rules)
                with closing(rules):
                    self.links.append(attach(where, cgroup, rules))
        finally:
            os.close(cgroup)

    def work(self) -> float:
        """Nothing: how long there is nothing to do."""
        return LOOK_SECONDS

    def have_ended(self) -> bool:
        """False: only its deadline ends it."""
        return False

    def end(self) -> None:
        """Close the links."""
        for link in self.links:
            os.close(link)
        self.links = []

    def counters(self) -> dict[str, float]:
        """Packets or connects that were meant, and hit."""
        return {
            "seen": sum(rules.counter(SEEN_AT) for rules in self.maps),
            "hit": sum(rules.counter(HIT_AT) for rules in self.maps),
        }


class HogFault:
    """Processes in the cgroup."""

    descriptors: Sequence[int] = ()

    def __init__(self, order: Order, seconds: float) -> None:
        works: list[Callable[[], None]]
        if order["kind"] == "cpu-stress":
            works = [partial(burn, order["load"])] * order["workers"]
        else:
            works = [partial(fill, order["bytes"] // order["workers"])] * order["workers"]
        self.bytes = order.get("bytes", 0)
        self.hogs = Hogs(works, order.get("cgroups", ()), seconds + HOG_GRACE_SECONDS)

    def work(self) -> float:
        """Nothing: how long there is nothing to do."""
        return LOOK_SECONDS

    def have_ended(self) -> bool:
        """Whether every process has ended by itself."""
        return self.hogs.have_ended()

    def end(self) -> None:
        """End the processes."""
        self.hogs.end()

    def counters(self) -> dict[str, float]:
        """CPU seconds that were used, bytes that were held."""
        return {"cpuSeconds": self.hogs.cpu_seconds, "bytes": self.bytes}


def say(message: dict[str, Any]) -> None:
    """Write one JSON line; nobody may be there to read it."""
    with suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


Made = NetworkFault | HogFault | DelayLine


def make_fault(order: Order, seconds: float, deadline_ns: int) -> Made:
    """The fault of an order; it is in from now on."""
    if order["kind"].endswith("stress"):
        return HogFault(order, seconds)
    return DelayLine(order, deadline_ns) if order["kind"] == "packet-delay" else NetworkFault(order, deadline_ns)


def wait_for_end(fault: Made, deadline: float) -> str:
    """Do the fault's work until the first of: release, end of the parent or silence, deadline, the fault's own end."""
    beat = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= deadline or fault.have_ended():
            return "G1" if now >= deadline else "ended"
        if now - beat > SILENT_SECONDS:
            return "G3"
        seconds = min(LOOK_SECONDS, deadline - now, fault.work())
        readable, _, _ = select.select([0, *fault.descriptors], [], [], seconds)
        if 0 in readable:
            said = os.read(0, 4096)
            if not said:
                return "G3"
            if b"release" in said:
                return "G2"
            beat = time.monotonic()


def read_order() -> Order:
    """The order: the first line of stdin."""
    text = b""
    while not text.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            raise ValueError("no order")
        text += part
    order: Order = json.loads(text)
    return order


def main() -> int:
    """Hold one fault."""
    try:
        order = read_order()
        seconds = float(order["seconds"])
        begun = time.monotonic()
        deadline_ns = time.monotonic_ns() + int(seconds * NS)
        made = make_fault(order, seconds, deadline_ns)
    except (OSError, ValueError, KeyError, TypeError) as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return 1
    drop_capabilities()
    say({"ready": True, "injectedNs": int(begun * NS), "deadlineNs": deadline_ns})
    released = wait_for_end(made, begun + seconds)
    made.end()
    say({"released": released, "counters": made.counters()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
