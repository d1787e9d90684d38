"""Bounds the flows of a window by fairness: a pod keeps a share of them, and what is beyond is summed by port range.

The kernel side bounds what one cgroup holds between two drains, see bpf/cgroups.c; this bounds what one pod holds
in a window, whatever the number of its cgroups. A sum has no addresses: its key has the unspecified address at both
ends, which no connection has, and the first port of its range.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from node_agent.privileged.bpf_structs import DYNAMIC_PORTS, ENDPOINTS, MAPPED_PREFIX, SYSTEM_PORTS, USER_PORTS

MOST_FLOWS = 48 << 10  # of a window, at each end; the manager takes 100,000 records of both ends in one batch
POD_SHARE = 12 << 10
PORT_RANGES = {SYSTEM_PORTS: "0-1023", USER_PORTS: "1024-49151", DYNAMIC_PORTS: "49152-65535"}
ANY_PACKED = MAPPED_PREFIX + bytes(4), bytes(16)
ANY_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound

SUMS_PER_POD = 2 * len(PORT_RANGES)

Sums = list[int]
Pod = str | int


def sum_key(key: bytes, cgroup: int) -> bytes:
    """Return the key of the sum to which a flow's entry belongs, at a cgroup."""
    _cgroup, _local, remote, port_be, _pad, _more = ENDPOINTS.unpack(key)
    port = int.from_bytes(port_be, "big")
    first = max(start for start in PORT_RANGES if start <= port)
    any_address = ANY_PACKED[0] if remote[:12] == MAPPED_PREFIX else ANY_PACKED[1]
    return ENDPOINTS.pack(cgroup, any_address, any_address, first.to_bytes(2, "big"), 0, 0)


def is_sum(key: bytes) -> bool:
    """Return whether an entry is a sum."""
    return key[24:40] in ANY_PACKED


def fair_level(held: Mapping[Pod, int], room: int) -> int:
    """Return the most that one pod may hold so that all together hold at most `room`: what is below it stays whole."""
    level, left, pods = 0, room, len(held)
    for count in sorted(held.values()):
        if count * pods > left:
            break
        level, left, pods = count, left - count, pods - 1
    return left // pods if pods else max(level, room)


class BoundedFlows(dict[bytes, Sums]):
    """Entries of one end by their kernel key; `pods` has the pod of each cgroup that names one.

    `merge(sums, more)` adds the second entry to the first. Sums are kept per pod, at the number of one of its cgroups.
    """

    def __init__(
        self,
        merge: Callable[[Sums, Sums], None],
        pods: Mapping[int, str],
        most: int = MOST_FLOWS,
        pod_share: int = POD_SHARE,
    ) -> None:
        super().__init__()
        self.merge, self.pods, self.most, self.level = merge, pods, most, pod_share
        self.held: Counter[Pod] = Counter()
        self.summed_at: dict[Pod, int] = {}

    def pod_of(self, key: bytes) -> Pod:
        """Return the pod that an entry's cgroup names, else the cgroup."""
        cgroup = int.from_bytes(key[:8], "little")
        return self.pods.get(cgroup, cgroup)

    def place_of(self, key: bytes) -> bytes:
        """Return the key at which a flow is counted: its own, else that of the sum, else its own."""
        if key in self:
            return key
        place = self.summed_at.get(self.pod_of(key))
        if place is None:
            return key
        summed = sum_key(key, place)
        return summed if summed in self else key

    def add(self, key: bytes, more: Sums) -> None:
        """Add an entry to the one with its key; a new one beyond its pod's share is added to the sum."""
        sums = self.get(key)
        if sums is not None:
            self.merge(sums, more)
            return
        self.put(key, more)
        if len(self) > self.most:
            self.lower_level()

    def put(self, key: bytes, more: Sums) -> None:
        """Add an entry whose key is new, as long as its pod's share lasts, else to the sum."""
        pod = self.pod_of(key)
        if not is_sum(key) and self.held[pod] < self.level:
            self.held[pod] += 1
            self[key] = more
            return
        key = sum_key(key, self.place_of_sum(pod, key))
        sums = self.setdefault(key, more)
        if sums is not more:
            self.merge(sums, more)

    def place_of_sum(self, pod: Pod, key: bytes) -> int:
        """Return the cgroup at which a pod's sums are; 0, which names nobody, beyond an eighth of the room."""
        place = self.summed_at.get(pod)
        if place is None:
            has_room = len(self.summed_at) * SUMS_PER_POD < self.most // 8
            place = self.summed_at[pod] = int.from_bytes(key[:8], "little") if has_room else 0
        return place

    def lower_level(self) -> None:
        """Lower what one pod may hold, and sum up what the largest hold beyond it."""
        self.level = min(self.level, fair_level(self.held, self.most * 3 // 4))
        self.held.clear()
        entries = list(self.items())
        self.clear()
        for key, sums in entries:
            self.put(key, sums)
