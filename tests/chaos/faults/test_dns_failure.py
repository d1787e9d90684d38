"""DNS that fails in one cgroup, on the running kernel: a server in one namespace, the system's resolver in another."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.faults.fault import DnsFailure, InjectionError
from chaos.faults.holder_client import hold
from chaos.faults.network_rule import RULE_BYTES, pack_rule, wire_name
from lab.simulated.cgroups import make_in_every_hierarchy, remove
from tests.chaos.faults.kernel_state import KernelState, kernel_state, network_namespace_of, programs_at

PROGRAM = str(Path(__file__).with_name("name_server.py"))
SERVER = "10.77.0.1"
CART, DB, API = "cart.shop.svc.cluster.local", "db.shop.svc.cluster.local", "api.example"
NO_ANSWER, NO_SUCH_NAME = "EAI -3", "EAI -2"


@dataclass
class Client:
    """A process that resolves names, in a cgroup of its own."""

    process: "subprocess.Popen[str]"
    cgroup: Path
    cgroups: list[Path]

    def ask(self, name: str) -> str:
        """The address of a name, or the error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def start(words: list[str], *namespaces: str) -> "subprocess.Popen[str]":
    """A process in namespaces of its own, once it says that it is ready."""
    command = ["unshare", *namespaces, sys.executable, "-I", "-S", "-B", PROGRAM, *words]
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline().strip() in {"serving", "asking"}
    return made


def end(process: "subprocess.Popen[str]") -> None:
    """End a process."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def inside(process: "subprocess.Popen[str]", *words: str) -> None:
    """Run `ip` in a process's network namespace."""
    subprocess.run(["nsenter", "--net", "--target", str(process.pid), "ip", *words], check=True)


def state_of(client: Client) -> KernelState:
    """What a fault could leave behind, without the pair of interfaces: its own state still settles."""
    return kernel_state(client.process.pid, client.cgroups)._replace(interfaces="")


@pytest.fixture
def client() -> Iterator[Client]:
    """A client that reaches its name server, in another namespace, by a pair of interfaces."""
    run = f"podsonar-dns-{secrets.token_hex(4)}"
    cgroups = make_in_every_hierarchy(run)
    cgroup = next(one for one in cgroups if (one.parent / "cgroup.controllers").exists())
    server = start(["serve"], "--net")
    asking = start(["ask", str(cgroup), SERVER], "--net", "--mount")
    inside(asking, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(server.pid))
    for process, device, address in ((server, "far", f"{SERVER}/24"), (asking, "near", "10.77.0.2/24")):
        inside(process, "address", "add", address, "dev", device)
        inside(process, "link", "set", device, "up")
    yield Client(asking, cgroup, cgroups)
    end(asking)
    end(server)
    remove(run)


@pytest.mark.kernel
@pytest.mark.parametrize("asked", [CART, "CART.shop.svc.Cluster.Local"])
def test_questions_about_a_name_fail_and_others_do_not(client: Client, asked: str) -> None:
    """In full, and in another case behind the search list; others are answered, and afterwards this one is."""
    assert (client.ask(asked), client.ask("db")) == ("10.9.9.1", "10.9.9.2")
    with hold(DnsFailure(client.cgroup, (CART,)), 60) as held:
        assert client.ask(asked) == NO_ANSWER
        assert (client.ask("db"), client.ask(API), client.ask("nobody.example")) == (
            "10.9.9.2",
            "10.9.9.3",
            NO_SUCH_NAME,
        )
        released = held.release()
    assert (client.ask(asked), released.by) == ("10.9.9.1", "G2")
    assert released.counters["hit"] >= 1
    assert programs_at(client.process.pid, client.cgroups) == {}


@pytest.mark.kernel
def test_without_names_every_question_fails(client: Client) -> None:
    """Also that about a name which is not there: nothing is known, instead of that there is none."""
    with hold(DnsFailure(client.cgroup), 60):
        assert (client.ask(CART), client.ask("nobody.example")) == (NO_ANSWER, NO_ANSWER)
    assert (client.ask(CART), client.ask("nobody.example")) == ("10.9.9.1", NO_SUCH_NAME)


@pytest.mark.kernel
def test_name_is_meant_as_it_stands(client: Client) -> None:
    """Neither what is below it nor what it is below; of several names each, the last place as the first."""
    names = ("example", "www.api.example", "shop.svc.cluster.local", "a." + CART, *("x" * n for n in (1, 2, 3)), DB)
    with hold(DnsFailure(client.cgroup, names), 60):
        assert (client.ask(API), client.ask(CART), client.ask(DB)) == ("10.9.9.3", "10.9.9.1", NO_ANSWER)


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_dead_or_hanging_holder_ends_it(client: Client, number: signal.Signals) -> None:
    """Killed: at once, by the kernel; stopped: by the deadline in the program. Nothing is different from before."""
    before = state_of(client)
    with network_namespace_of(client.process.pid):
        held = hold(DnsFailure(client.cgroup, (CART,)), 5)
    try:
        assert client.ask(CART) == NO_ANSWER
        assert state_of(client) != before
        os.kill(held.process.pid, number)
        if number is signal.SIGSTOP:
            while client.ask(CART) != "10.9.9.1":
                pass
        else:
            held.process.wait()
            assert client.ask(CART) == "10.9.9.1"
    finally:
        held.process.kill()
        held.release()
    assert state_of(client) == before


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("",), "labels of 1 to 63"),
        (("a..b",), "labels of 1 to 63"),
        (("a" * 64,), "labels of 1 to 63"),
        ((".".join(["a" * 60] * 3),), "126 in all"),
        (("a",) * 9, "at most 8"),
    ],
)
def test_name_that_cannot_be_asked_is_refused(names: tuple[str, ...], expected: str) -> None:
    """Before anything is made."""
    with pytest.raises(InjectionError, match=expected):
        hold(DnsFailure(Path("/nowhere"), names), 5)


def test_rule_has_names_as_they_are_asked() -> None:
    """Labels behind their lengths, a zero at the end; every byte with the bit that makes cases the same."""
    assert wire_name("Cart.Shop.") == b"\x04Cart\x04Shop\x00"
    packed = pack_rule({"names": ("Cart.Shop",)}, 0)
    wire = bytes(byte | 0x20 for byte in b"\x04cart\x04shop\x00")
    assert (len(packed), wire in packed, packed[52:56]) == (RULE_BYTES, True, b"\x01\x00\x00\x00")
