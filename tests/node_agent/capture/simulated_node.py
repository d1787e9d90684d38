"""A node whose kernel and program count in memory: readings of the third witness at any moment."""

from random import Random

from node_agent.capture.kernel_counters import KernelCounters
from node_agent.capture.kernel_counters import Network as Namespace
from node_agent.capture.third_witness import NodeReading, read_node, settle
from podsonar.model import WitnessCounts


class SimulatedNode(KernelCounters):
    """Namespaces with counters of the kernel and of a program that misses events; some move while they are read."""

    def __init__(self, chance: Random, namespaces: int) -> None:
        self.chance = chance
        self.half_open = [chance.choice([0, chance.randrange(99)]) for _ in range(namespaces)]
        self.kernel = [
            [chance.randrange(10**6), chance.randrange(10**6), resets + chance.choice([0, chance.randrange(9)])]
            for resets in self.half_open
        ]
        self.program = [[0, 0, 0] for _ in range(namespaces)]
        self.dropped = [0, 0, 0]
        self.late: list[int] = []  # namespaces of resets that AttemptFails has and EmbryonicRsts not yet
        self.moves = 0
        self.tasks = {10 * place + task: place for place in range(namespaces) for task in range(chance.choice([1, 3]))}
        self.away: dict[int, int] = {}  # tasks that have entered another namespace for the time of a reading
        self.held: list[tuple[list[int], int]] = []  # the counter that comes late

    def event(self, kind: str) -> None:
        """One connection of any kind, in any namespace, or a half-open one that is reset."""
        place, which = self.chance.randrange(len(self.kernel)), self.chance.randrange(3)
        if kind == "reset":
            self.kernel[place][2] += 1
            self.late.append(place)
            return
        self.kernel[place][which] += 1
        if kind == "dropped":
            self.dropped[which] += 1
        else:
            self.program[place][which] += 1

    def hold(self, events: int) -> None:
        """Some events are counted by one side; a connect by the program first, what ends by the kernel first."""
        for _ in range(events):
            place, which = self.chance.randrange(len(self.kernel)), self.chance.randrange(3)
            first, late = (self.program, self.kernel) if which == 0 else (self.kernel, self.program)
            first[place][which] += 1
            self.held.append((late[place], which))

    def sleep(self, seconds: float) -> None:
        """What was held goes on after 20 ms."""
        if seconds > 0.02:
            for counters, which in self.held:
                counters[which] += 1
            self.held.clear()

    def reading(self, start: NodeReading | None = None) -> NodeReading:
        """A reading while at most some events happen; that of a window's end if its start is given."""
        self.moves = self.chance.randrange(9)
        networks = {place: Namespace([], {f"pod-{place}"}) for place in range(len(self.kernel))}
        for task, place in self.tasks.items():
            networks[place].tasks.append(task)
        found = read_node(networks, self.program_of, self, self.sleep)
        if start is not None:
            settle(start, found, self.program_of, self, self.sleep)
        return found

    def moved(self) -> None:
        """Perhaps one more event that the program sees, or a reset, which is none for it."""
        while self.late:
            self.half_open[self.late.pop()] += 1
        if self.moves and self.chance.random() < 0.4:
            self.moves -= 1
            self.event(self.chance.choice(["seen", "seen", "reset"]))

    def program_of(self, place: int) -> WitnessCounts:
        """The program's counts of a namespace."""
        self.moved()
        return WitnessCounts(*self.program[place])

    def file_of(self, task: int) -> int:
        """The file of the namespace in which the task is now."""
        return 1000 + self.away.get(task, self.tasks[task])

    def read(self, task: int) -> tuple[int, bytes]:
        """The kernel's counters as the task shows them."""
        self.moved()
        counts = self.kernel[self.file_of(task) - 1000]
        return self.file_of(task), b"Tcp: ActiveOpens PassiveOpens AttemptFails\nTcp: %d %d %d\n" % tuple(counts)

    def resets(self, task: int) -> int:
        """The half-open connections that were reset in the namespace where the task is now."""
        self.moved()
        return self.half_open[self.file_of(task) - 1000]
