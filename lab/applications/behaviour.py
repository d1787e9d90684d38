"""What the services of an application do: the calls of each request, and who makes requests of their own accord."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.applications.application import Application
from lab.simulated.pods import SERVICE_PROGRAM, Lab


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a service; the planted weaknesses are its fields. Without an address it goes to the Service `to`."""

    to: str
    required: bool = True  # a hard dependency: the caller's request fails with it
    tries: int = 1  # one after the other, without a pause: a retry storm
    fallback: "Call | None" = None  # called only when this one has failed
    pooled: bool = False  # one connection, opened by the first request and kept
    asks: bool = True  # waits for an answer
    address: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Root:
    """Requests that a workload makes of its own accord, at an even rate."""

    per_second: float
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """An application with what its workloads do: calls of each request they get, and requests of their own."""

    application: Application
    serves: Mapping[str, Sequence[Call]] = field(default_factory=dict)
    begins: Mapping[str, Sequence[Root]] = field(default_factory=dict)

    def call_order(self, call: Call) -> dict[str, Any]:
        """A call as service_program.py takes it."""
        address, port = call.address, call.port
        if not address:
            service = next(one for one in self.application.services if one.name == call.to)
            address, port = service.address or "", service.port
        return {
            "name": call.to,
            "address": address,
            "port": port,
            "required": call.required,
            "tries": call.tries,
            "pooled": call.pooled,
            "asks": call.asks,
            "fallback": self.call_order(call.fallback) if call.fallback else None,
        }

    def start(self, lab: Lab, uids: Mapping[str, str]) -> None:
        """Start all pods; requests begin when every pod serves."""
        self.application.start_pods(lab, uids, SERVICE_PROGRAM)
        for workload in self.application.workloads:
            for number in range(len(workload.hosts)):
                self.order_serving(lab, workload.name, workload.pod(number))
        for name in self.begins:
            self.order_requests(lab, name)

    def order_serving(self, lab: Lab, workload: str, pod: str) -> None:
        """Tell a pod what each of its requests is to call."""
        lab.pods[pod].send_command({"serve": [self.call_order(one) for one in self.serves.get(workload, ())]})

    def order_requests(self, lab: Lab, workload: str) -> None:
        """Make a workload's first pod begin with its requests."""
        roots = [
            {"perSecond": one.per_second, "calls": [self.call_order(call) for call in one.calls]}
            for one in self.begins[workload]
        ]
        lab.pods[self.application.first_pods()[workload]].send_command({"begin": roots})

    def restart(self, lab: Lab, workload: str, pod: str) -> None:
        """Start a killed pod's process again, with its behaviour."""
        lab.restart_pod(pod)
        self.order_serving(lab, workload, pod)
        if workload in self.begins and pod == self.application.first_pods()[workload]:
            self.order_requests(lab, workload)

    def counters(self, lab: Lab) -> dict[str, dict[str, int]]:
        """What the workloads' own programs have counted, by workload: the sum over its pods."""
        found: dict[str, dict[str, int]] = {}
        for workload in self.application.workloads:
            sums = found.setdefault(workload.name, {})
            for number in range(len(workload.hosts)):
                if lab.pods[workload.pod(number)].process.poll() is not None:
                    continue
                for name, count in lab.pods[workload.pod(number)].send_command({"counters": True}).items():
                    sums[name] = sums.get(name, 0) + count
        return found
