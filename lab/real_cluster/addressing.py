"""Names, addresses and folders of a cluster, all derived from a name and one number.

Two clusters with different names and numbers can run side by side: that of `make cluster` and that of the tests.
"""

from dataclasses import dataclass
from pathlib import Path

HOST = Path("/var/lib")
LETTERS = "ab"
OUTSIDE_PORT = 443


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One node. In its mount namespace `/run/node` is its `settings` folder; `/var/lib` and `/var/log` are private."""

    name: str
    letter: str
    address: str
    pod_range: str
    gateway: str
    folder: Path
    cgroup: str

    @property
    def settings(self) -> Path:
        """The folder of its configuration, as seen from the machine."""
        return self.folder / "settings"


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster: nodes 10.N.0.11 and 10.N.0.12, the machine 10.N.0.1, pods 10.N.65.0/24 and 10.N.66.0/24."""

    name: str = "podsonar-cluster"
    number: int = 212
    size: int = 2
    masquerade: bool = True
    proxy_mode: str = "nftables"

    @property
    def folder(self) -> Path:
        """The folder of all files of the cluster."""
        return HOST / self.name

    @property
    def address(self) -> str:
        """The machine's address towards the nodes, which is the API server's."""
        return f"10.{self.number}.0.1"

    @property
    def outside(self) -> str:
        """An address of the machine that belongs to no pod, service or node: the world outside the cluster."""
        return f"198.51.100.{self.number}"

    @property
    def pod_range(self) -> str:
        """The range of all pod addresses."""
        return f"10.{self.number}.64.0/18"

    @property
    def service_range(self) -> str:
        """The range of ClusterIPs."""
        return f"10.{self.number}.128.0/17"

    @property
    def dns(self) -> str:
        """The ClusterIP of the DNS service."""
        return f"10.{self.number}.128.10"

    @property
    def daemons(self) -> str:
        """The cgroup of all processes except the containers'."""
        return f"{self.name}/daemons"

    @property
    def nodes(self) -> tuple[ClusterNode, ...]:
        """The nodes, in the order of their letters."""
        return tuple(
            ClusterNode(
                name=f"node-{letter}",
                letter=letter,
                address=f"10.{self.number}.0.{11 + place}",
                pod_range=f"10.{self.number}.{65 + place}.0/24",
                gateway=f"10.{self.number}.{65 + place}.1",
                folder=self.folder / letter,
                cgroup=f"{self.name}/node-{letter}",
            )
            for place, letter in enumerate(LETTERS[: self.size])
        )

    def link(self, node: ClusterNode) -> str:
        """The machine's end of the link to a node."""
        return f"podsonar{self.number}{node.letter}"


TESTS = Layout(name="podsonar-test-cluster", number=213)
