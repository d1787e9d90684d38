"""Builds what a scenario declares: processes and networks in the lab, objects in the directory; runs its steps."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

from directory.lookup import Directory
from lab.simulated import cgroups
from lab.simulated.network import NAMESPACE_FOLDER, OUTSIDE, LabError, Translation
from lab.simulated.two_nodes import NODES, Placement, TwoNodes
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.scenarios import objects
from tests.scenarios.table import Connect, Do, Scenario, ScenarioPod, ScenarioService

OUTSIDE_PORT = 4431
DRAINS_SECONDS = 60
SETTLED_NS = 60 * NS_PER_SECOND  # what does not start late has been there for so long: its owner is certain


class WallClock:
    """The wall clock of a window's agents; a step moves it, and not the machine's clock."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def step(self, seconds: float) -> None:
        """Move the clock by that many seconds."""
        self.ahead_ns += int(seconds * NS_PER_SECOND)

    def now_ns(self) -> int:
        """The current time in ns."""
        return time.time_ns() + self.ahead_ns


class Drains:
    """How often the agents of a window have drained their tables."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.counts: Counter[str] = Counter()

    def add(self, letter: str) -> None:
        """Count a drain of that node's agent."""
        with self.condition:
            self.counts[letter] += 1
            self.condition.notify_all()

    def wait_for_more(self, count: int) -> None:
        """Return when every agent has drained `count` times more; raise LabError after DRAINS_SECONDS."""
        with self.condition:
            goals = {letter: self.counts[letter] + count for letter in NODES}
            if not self.condition.wait_for(
                lambda: all(self.counts[letter] >= goal for letter, goal in goals.items()), DRAINS_SECONDS
            ):
                raise LabError(f"drains {dict(self.counts)} after {DRAINS_SECONDS} s, expected {goals}")


class Cast:
    """The running parts of one scenario: names to uids, addresses, processes and objects."""

    def __init__(
        self, lab: TwoNodes, directory: Directory, clock: WallClock, drains: Drains, scenario: Scenario, group: int
    ) -> None:
        self.lab, self.directory, self.scenario, self.group = lab, directory, scenario, group
        self.clock, self.drains = clock, drains
        self.salt = uuid.uuid4()
        self.pods = {pod.name: pod for pod in scenario.pods}
        self.addresses = {pod.name: self.addresses_of(pod, place) for place, pod in enumerate(scenario.pods, start=2)}
        self.services = {one.name: self.cluster_ips(one, place) for place, one in enumerate(scenario.services, start=2)}
        self.objects: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.made: dict[int, int] = {}

    def uid(self, kind: str, name: str) -> str:
        """The uid of an object, different in every run."""
        return str(uuid.uuid5(self.salt, f"{kind}/{name}"))

    def cgroup_uid(self, pod: ScenarioPod) -> str:
        """The uid in the pod's cgroup name: the API's uid, or a static pod's config hash."""
        if pod.named_after:
            return self.cgroup_uid(self.pods[pod.named_after])
        return uuid.uuid5(self.salt, pod.name + "/hash").hex if pod.static else self.uid("Pod", pod.name)

    def addresses_of(self, pod: ScenarioPod, place: int) -> tuple[str, str]:
        """The pod's addresses: its node's if it is on the host network."""
        if pod.host_network:
            return NODES[pod.node].addresses
        if pod.heir:
            place = 2 + [one.name for one in self.scenario.pods].index(pod.heir)
        return NODES[pod.node].pod_addresses(self.group, place)

    def cluster_ips(self, service: ScenarioService, place: int) -> dict[str, str]:
        """The service's addresses by family."""
        both = {"4": f"10.97.{self.group}.{place}", "6": f"fd00:97::{self.group:x}:{place:x}"}
        return {family: both[family] for family in service.family}

    def where(self, text: str) -> str:
        """The address that a table's text names; any other text is the address itself."""
        kind, _, name = text.partition(" ")
        if kind == "outside":
            return OUTSIDE
        six = kind.endswith("6")
        if kind in {"pod", "pod6"}:
            return self.addresses[name][six]
        if kind in {"service", "service6"}:
            return self.services[name]["6" if six else "4"]
        return NODES[name].addresses[six] if kind in {"node", "node6"} else text

    def key(self, who: str) -> str:
        """The name of a process in the lab."""
        return f"s{self.group}-{who}"

    def pids_of_pods(self) -> list[int]:
        """A process of each pod that has a network of its own and is there."""
        keys = [self.key(pod.name) for pod in self.scenario.pods if not pod.host_network]
        return [self.lab.pods[key].process.pid for key in keys if key in self.lab.pods]

    def add_to_directory(self, kind: str, item: dict[str, Any], at_ns: int) -> None:
        """Add the object to the directory and the inventory, as of that time."""
        self.objects.append(item)
        self.directory.apply(kind, item, at_ns)

    def prepare(self) -> None:
        """Create everything that does not start late."""
        for pod in self.scenario.pods:
            if not pod.late:
                self.start(pod)
        for process in self.scenario.processes:
            key = self.key(process.name)
            cgroup = f"system.slice/{key}.service"
            self.lab.start_process(key, self.lab.namespace(process.node), cgroup, tuple(process.listen))
        for service in self.scenario.services:
            ips = self.services[service.name]
            item = objects.service(service, self.scenario.name, self.uid("Service", service.name), list(ips.values()))
            self.add_to_directory("Service", item, time.time_ns() - SETTLED_NS)
        self.lab.nftables([self.host_port(pod) for pod in self.scenario.pods if pod.host_port])
        for proxy in ("nftables", "iptables"):
            found = [one for service in self.scenario.services for one in self.translations(service, proxy)]
            if found:
                getattr(self.lab, proxy)(found)
        for rule in self.scenario.masquerade:
            self.lab.masquerade(rule.node, self.where(rule.source), self.where(rule.destination))

    def start(self, pod: ScenarioPod) -> None:
        """Start the pod's containers and add the pod to the directory."""
        placed = Placement(pod.node, () if pod.host_network else self.addresses[pod.name], pod.cgroup, pod.only)
        for who in (pod.name, *(f"{pod.name}/{container}" for container in pod.containers)):
            listen = tuple(pod.listen) if who == pod.name else ()
            self.lab.start_container(self.key(who), self.cgroup_uid(pod), placed, listen)
        if pod.known:
            hashed = self.cgroup_uid(pod) if pod.static else None
            at_ns = time.time_ns() - (0 if pod.late else SETTLED_NS)
            begun = rfc3339(at_ns)[:19] + "Z"
            namespace = pod.namespace or self.scenario.name
            item = objects.pod(pod, namespace, self.uid("Pod", pod.name), self.addresses[pod.name], begun, hashed)
            self.add_to_directory("Pod", item, at_ns)

    def host_port(self, pod: ScenarioPod) -> Translation:
        """The translation of a pod's host port at its node's address, as the portmap plugin makes it."""
        host, target = pod.host_port or (0, 0)
        return Translation(NODES[pod.node].addresses[0], host, (self.addresses[pod.name][0],), target)

    def network_of(self, pod: str) -> str:
        """The path of a pod's network namespace."""
        return str(NAMESPACE_FOLDER / f"{self.lab.run}-{self.key(pod)}")

    def translations(self, service: ScenarioService, proxy: str) -> Iterable[Translation]:
        """The nodes' translations for a service."""
        if service.proxy != proxy:
            return
        backends = [pod for pod in self.scenario.pods if (pod.app or pod.name) == service.app and not pod.late]
        for family, address in self.services[service.name].items():
            targets = tuple(self.addresses[pod.name][family == "6"] for pod in backends)
            yield Translation(address, service.port, targets, service.target)
            if service.node_port:
                for node in NODES.values():
                    yield Translation(node.addresses[family == "6"], service.node_port, targets, service.target)

    def play(self, steps: Iterable[Connect | Do], window: int) -> None:
        """Run the steps; a result that differs from the declared one becomes a complaint."""
        for step in steps:
            if isinstance(step, Do):
                self.do(step)
                continue
            more = dict(step.more)
            if "network" in more:
                more["network"] = self.network_of(str(more["network"]))
            if step.mode == "container":
                pod = self.pods[step.who]
                below = pod.cgroup.format(uid=self.cgroup_uid(pod), container=uuid.uuid4().hex * 2)
                folders = cgroups.make_in_every_hierarchy(f"{self.lab.run}/{below}", only=pod.only)
                more["folders"] = [str(folder) for folder in folders]
            process = self.lab.pods["(outside)" if step.who == "(outside)" else self.key(step.who)]
            answer = process.connect(self.where(step.to), step.port, step.count, step.mode, **more)
            expected = step.count if step.established is None else step.established
            if answer["established"] != expected:
                self.complaints.append(f"{step}: its program says {answer}, expected {expected} established")
            attempts = step.count if step.attempts is None else step.attempts
            self.made[window] = self.made.get(window, 0) + attempts

    def do(self, step: Do) -> None:
        """Run one step that is not a connect."""
        if step.what == "start":
            self.start(self.pods[step.who])
        elif step.what == "delete":
            self.lab.delete(self.key(step.who))
            self.directory.delete("Pod", self.uid("Pod", step.who), time.time_ns())
        elif step.what == "drains":
            self.drains.wait_for_more(int(step.who))
        elif step.what == "clock":
            self.clock.step(float(step.who))
        elif step.what == "end":
            self.lab.pods[self.key(step.who)].process.kill()
        elif step.what == "run":
            command = [self.where(word) if word.startswith("pod ") else word for word in step.command]
            answer = self.lab.pods[self.key(step.who)].send_command({"run": command})
            if answer["code"]:
                self.complaints.append(f"{step}: ended with {answer}")
        else:
            self.change_sockets(step)

    def change_sockets(self, step: Do) -> None:
        """Run one step that changes a process's listeners, connections or network."""
        process = self.lab.pods[self.key(step.who)]
        if step.what == "pass":
            path = f"/tmp/{self.lab.run}-{self.group}.sockets"  # noqa: S108 - both processes remove it
            to, count, *keep = step.command
            self.lab.pods[self.key(to)].send_command({"take": path})
            process.send_command({"pass": path, "count": int(count), "keep": bool(keep)})
            return
        commands = {
            "stop-listening": lambda: {"stopListeningAfter": int(step.command[0])},
            "listen": lambda: {"listen": int(step.command[0]), "network": self.network_of(step.command[1])},
            "fork": lambda: {"fork": int(step.command[0])},
            "half-close": lambda: {"halfClose": int(step.command[0])},
            "leave-network": lambda: {"leaveNetwork": True},
        }
        process.send_command(commands[step.what]())
