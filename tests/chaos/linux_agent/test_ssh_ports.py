"""chaos/linux_agent/ssh_ports.py: whichever port sshd has, a network fault leaves it alone."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.linux_agent.fault_table import Host, make_plan
from chaos.linux_agent.ssh_ports import find_ssh_ports
from chaos.task_action import read_action

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
listener.close()
print("accepted", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["sshd", "sshd-session"])
def test_port_of_sshd_and_of_its_sessions_is_exempt(tmp_path: Path, name: str) -> None:
    """While it listens, and while only a connection is left; the plan exempts it unless the input says otherwise."""
    program = tmp_path / name
    program.symlink_to(Path(sys.executable).resolve())
    inputs = [{"name": "DestinationPorts", "value": "5432"}]
    action = {"chaos": {"experiment": "linux-network-loss", "experimentInputs": inputs, "probes": []}}
    with subprocess.Popen(
        [str(program), "-I", "-S", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sshd:
        assert sshd.stdout is not None
        port = int(sshd.stdout.readline())
        assert port in find_ssh_ports()
        with socket.create_connection(("127.0.0.1", port)):
            assert sshd.stdout.readline() == "accepted\n"
            assert {22, port} <= set(find_ssh_ports())
            fault = make_plan(read_action(action), Host(tmp_path, "127.0.0.1")).fault
            assert {22, port} <= set(fault.exempt_ports)  # type: ignore[union-attr]
            inputs.append({"name": "WhitelistSSH", "value": "false"})
            fault = make_plan(read_action(action), Host(tmp_path, "127.0.0.1")).fault
            assert fault.exempt_ports == ()  # type: ignore[union-attr]
    assert port not in find_ssh_ports()
