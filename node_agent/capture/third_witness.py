"""Compares what the program counted with the kernel's own counters, one network namespace after the other.

The program counts the same events per namespace from its attachment on, window or not. A difference that grows in a
window is what the program has not seen. Both are read while connections are made, so that a namespace is read again
until it is quiet around the reading; in one that never is, the reading that shows least is taken.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from node_agent.capture.kernel_counters import KernelCounters, Network, files_of, networks_of, parsed
from node_agent.capture.kernel_program.bpf_maps import TASK_ITERATOR, AttachedProgram
from node_agent.capture.pod_cgroup import owner_of
from node_agent.privileged.bpf_structs import TASK
from podsonar.model import Witness, WitnessCounts

SNMP = "snmp"
MOST_ROUNDS = 10
MOST_LOOKS = 100  # at a namespace that is never quiet, for one that falls between two connects
QUIET_SECONDS = 0.001  # far longer than a connect takes between the program's count and the kernel's
HELD_SECONDS = 0.03  # for a processor that is held there meanwhile
MOST_PODS = 50  # named with what was not seen of them
APPEARED, ENDED, UNREADABLE = "appeared", "ended", "unreadable"


class NetworkReading(NamedTuple):
    """The kernel's counters of a namespace, by how much they exceed the program's, and whether both stood still.

    `file` is the inode of the counters' file, of which a namespace has one.
    """

    kernel: WitnessCounts
    beyond: WitnessCounts
    quiet: bool
    file: int


@dataclass(slots=True)
class NodeReading:
    """The namespaces of the node at one moment, by number: all that are there, and readings of those that show one."""

    seen: Mapping[int, Network] = field(default_factory=dict)
    networks: dict[int, NetworkReading] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)


Program = Callable[[int], WitnessCounts]  # by a namespace's number


def look(
    namespace: int, network: Network, program: Program, kernel: KernelCounters, file: int
) -> NetworkReading | None:
    """Return one reading of a namespace, of connects and accepted connections alone; None if no task shows it.

    Half-open connections that a peer reset are subtracted. They are read only where the kernel has more failures than
    the program; if there are some, again before these and after, since the kernel counts a reset after the failure.
    """
    for task in network.tasks:
        found = look_by(task, namespace, program, kernel, file)
        if found is None:
            continue
        resets = kernel.resets(task) if found.beyond.failures > 0 else 0
        if resets == 0:
            return found
        found, later = look_by(task, namespace, program, kernel, file), kernel.resets(task)
        if found is not None and resets is not None and later is not None:
            reset = WitnessCounts(failures=resets)
            quiet = found.quiet and resets == later
            return found._replace(kernel=found.kernel.minus(reset), beyond=found.beyond.minus(reset), quiet=quiet)
    return None


def look_by(task: int, namespace: int, program: Program, kernel: KernelCounters, file: int) -> NetworkReading | None:
    """Return the counters as a task shows them; None if it has ended or is in another namespace."""
    before = program(namespace)
    found = kernel.read(task)
    after = program(namespace)  # at once: a busy namespace has the next connect within microseconds
    if found is None or found[0] != file or (counters := parsed(found[1])) is None:
        return None
    # The program counts a connect before the kernel, an accepted or failed one after it.
    beyond = WitnessCounts(
        counters.opens - after.opens, counters.accepted - before.accepted, counters.failures - before.failures
    )
    return NetworkReading(counters, beyond, before == after, file)


def joined(first: NetworkReading | None, then: NetworkReading) -> NetworkReading:
    """Return two readings as one: what stands between the two counts is gone in the one that shows least of it."""
    if first is None:
        return then
    beyond = WitnessCounts(
        max(first.beyond.opens, then.beyond.opens),
        min(first.beyond.accepted, then.beyond.accepted),
        min(first.beyond.failures, then.beyond.failures),
    )
    return then._replace(beyond=beyond)


def read_node(
    networks: Mapping[int, Network],
    program: Program,
    kernel: KernelCounters,
    sleep: Callable[[float], None] = time.sleep,
) -> NodeReading:
    """Return a reading of each namespace.

    One in which something was counted is read twice: a processor that a hypervisor holds may stand between the two
    counts for longer than a namespace seems quiet.
    """
    files = files_of(networks, kernel)
    reading = NodeReading(networks, unreadable=networks.keys() - files.keys())
    left = list(files)
    for _ in range(MOST_ROUNDS):
        earlier = {namespace: program(namespace) for namespace in left}
        sleep(QUIET_SECONDS)
        busy = []
        for namespace in left:
            found = look(namespace, networks[namespace], program, kernel, files[namespace])
            if found is None:
                reading.unreadable.add(namespace)
                continue
            quiet = found.quiet and program(namespace) == earlier[namespace]
            last = reading.networks.get(namespace)
            reading.networks[namespace] = (found if quiet else joined(last, found))._replace(quiet=quiet)
            if not quiet:
                busy.append(namespace)
        left = busy
        if not left:
            break
    sleep(HELD_SECONDS)
    moved = [one for one, found in reading.networks.items() if any(program(one)) or not found.quiet]
    read_again(reading, moved, program, kernel)
    return reading


def read_again(reading: NodeReading, namespaces: Iterable[int], program: Program, kernel: KernelCounters) -> None:
    """Join readings of some namespaces until one during which nothing was counted."""
    for namespace in namespaces:
        for _ in range(MOST_LOOKS):
            first = reading.networks[namespace]
            found = look(namespace, reading.seen[namespace], program, kernel, first.file)
            if found is None:
                break
            reading.networks[namespace] = joined(first, found)._replace(quiet=first.quiet)
            if found.quiet:
                break


def settle(
    start: NodeReading,
    end: NodeReading,
    program: Program,
    kernel: KernelCounters,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Read the end's namespaces again in which the counts differ, until they agree or have had the time to."""
    for _ in range(MOST_ROUNDS):
        differing = [one for one in start.networks if comparable(one, start, end) and any(growth_of(one, start, end))]
        if not differing:
            return
        sleep(HELD_SECONDS)
        read_again(end, differing, program, kernel)


def comparable(namespace: int, start: NodeReading, end: NodeReading) -> bool:
    """Return whether the same counters of a namespace were read at both ends."""
    first, last = start.networks.get(namespace), end.networks.get(namespace)
    return first is not None and last is not None and first.file == last.file


def growth_of(namespace: int, start: NodeReading, end: NodeReading) -> WitnessCounts:
    """Return by how much the kernel's counts have grown beyond the program's."""
    return end.networks[namespace].beyond.minus(start.networks[namespace].beyond)


def program_counts(tracer: AttachedProgram) -> Program:
    """Return what reads the program's counts."""
    places = tracer.network_places()

    def program(namespace: int) -> WitnessCounts:
        if namespace not in places and (found := tracer.network_places().get(namespace)) is not None:
            places[namespace] = found
        return WitnessCounts(*tracer.network_counts(places.get(namespace)))

    return program


def read_witness(tracer: AttachedProgram, proc_folder: Path, start: NodeReading | None = None) -> NodeReading | None:
    """Return a reading of the node by an iterator over its tasks; None if there is no iterator left.

    With the reading of the window's `start` it is the end's, in which differences are looked at again.
    """
    iterator = tracer.take_iterator(TASK_ITERATOR)
    if iterator is None:
        return None
    with open(iterator, "rb", closefd=True) as tasks:  # noqa: PTH123 - a descriptor
        rows = list(TASK.iter_unpack(tasks.read()))
    names = tracer.cgroup_names()
    pods: dict[int, str | None] = {}
    for cgroup in {row[0] for row in rows}:
        uids = owner_of(names.get(cgroup, ())).uids
        pods[cgroup] = uids[0] if uids else None
    program = program_counts(tracer)
    kernel = KernelCounters(proc_folder)
    reading = read_node(networks_of(rows, pods.get), program, kernel)
    if start is not None:
        settle(start, reading, program, kernel)
    return reading


def compare(start: NodeReading, end: NodeReading) -> Witness:
    """Return what the kernel counted in the window and the program did not, in namespaces that were there all along."""
    not_comparable: Counter[str] = Counter()
    kernel, unseen, program_only = WitnessCounts(), WitnessCounts(), WitnessCounts()
    pods: Counter[str] = Counter()
    agreed = busy = 0
    for namespace in start.seen.keys() | end.seen.keys():
        if not comparable(namespace, start, end):
            not_comparable[reason_of(namespace, start, end)] += 1
            continue
        first, last = start.networks[namespace], end.networks[namespace]
        growth = growth_of(namespace, start, end)
        kernel = kernel.plus(last.kernel.minus(first.kernel))
        unseen, program_only = unseen.plus(growth.positive()), program_only.plus(growth.negated().positive())
        agreed += not any(growth)
        busy += not (first.quiet and last.quiet)
        if any(growth.positive()):
            for pod in sorted(end.seen[namespace].pods)[:MOST_PODS]:
                pods[pod] += sum(growth.positive())
    return Witness(
        SNMP,
        len(start.seen.keys() | end.seen.keys()),
        agreed,
        busy,
        dict(sorted(not_comparable.items())),
        kernel,
        unseen,
        program_only,
        dict(pods.most_common(MOST_PODS)),
    )


def reason_of(namespace: int, start: NodeReading, end: NodeReading) -> str:
    """Return why a namespace cannot be compared."""
    other_file = namespace in start.networks and namespace in end.networks
    if other_file or namespace in start.unreadable or namespace in end.unreadable:
        return UNREADABLE
    return APPEARED if namespace not in start.seen else ENDED
