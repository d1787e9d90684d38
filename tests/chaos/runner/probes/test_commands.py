"""Commands of probes as in a runner's pod: its user, no capability, mounted Secrets; none reads a credential.

Each way to one is tried twice: without the confinement it leads there, so that the test knows its way.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from chaos.control.experiments.runner_manifests import RunIds, RunnerPlace, runner_manifests
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.runner.environment import UNCONFINED, read_environment

CHECKOUT = Path(__file__).resolve().parents[4]
PYTHON = "/mnt/environment/bin/python"
SAMPLE = CHECKOUT / "tests" / "chaos" / "control" / "experiments" / "samples" / "experimentrun.json"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
# The user may not enter the folders above checkout and virtual environment: both are shown at other places.
POD = f"""
set -e
mount -t tmpfs none /run && mount -t tmpfs none /mnt && mount -t tmpfs none /dev/shm
mkdir /mnt/checkout /mnt/environment
mount --bind . /mnt/checkout && mount --bind "$0" /mnt/environment && cd /
mkdir -p /run/secrets/kubernetes.io/serviceaccount /mnt/secret /mnt/sub /mnt/work
mount -t tmpfs none /run/secrets/kubernetes.io/serviceaccount
mount -t tmpfs none /mnt/secret
echo credential-of-the-account > {TOKEN}
echo credential-of-a-secret > /mnt/secret/password
touch /mnt/sub/path
mount --bind /mnt/secret/password /mnt/sub/path
echo credential-of-a-kubeconfig > /mnt/kubeconfig
echo of everybody > /mnt/plain
chmod 600 {TOKEN} /mnt/secret/password /mnt/kubeconfig
chown 2000:2000 {TOKEN} /mnt/secret/password /mnt/kubeconfig /mnt /mnt/work
mount -o remount,ro,bind /run/secrets/kubernetes.io/serviceaccount
mount -o remount,ro,bind /mnt/secret
mount -o remount,ro,bind /mnt/sub/path
exec setpriv --reuid 2000 --regid 2000 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \\
  {PYTHON} /mnt/checkout/tests/chaos/runner/probes/pod_program.py "$@"
"""
SCAN = """
import re, sys
runner = sys.argv[1]
with open(f"/proc/{runner}/mem", "rb", 0) as memory:
    for line in open(f"/proc/{runner}/maps"):
        first, last = (int(one, 16) for one in line.split()[0].split("-"))
        if " rw" in line:
            memory.seek(first)
            for found in re.findall(rb"in memory: [-a-z]+heap", memory.read(last - first)):
                print(found.decode())
"""
ATTACH = """
import ctypes, os, sys
libc, runner = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
if libc.ptrace(16, runner, None, None):
    sys.exit("not attached")
print("credential: every register and byte")
os.waitpid(runner, 0x40000000)
libc.ptrace(17, runner, None, None)
"""
TAKE = """
import ctypes, os, sys
libc, runner = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
pidfd = os.pidfd_open(runner)
for number in range(3, 20):
    taken = libc.syscall(438, pidfd, number, 0)
    if taken >= 0 and "kubeconfig" in os.readlink(f"/proc/self/fd/{taken}"):
        print(os.pread(taken, 100, 0).decode())
"""

OLDER = """
import sys
from chaos.probes.confine import become, confine
confine([sys.argv[1]], int(sys.argv[2]))
become(["/bin/sh", "-c", sys.argv[3]])
"""
CLOSED = """
import ctypes
from contextlib import suppress
from chaos.runner.app import run_runner
from podsonar.errors import SettingsError
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
with suppress(SettingsError):
    run_runner({}, None)
print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def python(program: str) -> str:
    """A command that runs a program, with the runner's process id."""
    return f"{PYTHON} -I -S - $PPID <<'END'\n{program}\nEND"


NEXT = "exit; # and then, by the next probe"
WAYS = {
    "token of the account": f"cat {TOKEN}",
    "environment of the runner": "tr '\\0' '\\n' < /proc/$PPID/environ | grep ACCESS_KEY",
    "memory of the runner": python(SCAN),
    "mounted Secret": "cat /mnt/secret/password",
    # and others of the kind
    "token by its true path": "cat /run/secrets/kubernetes.io/serviceaccount/token",
    "token below the runner's root": f"cat /proc/$PPID/root{TOKEN}",
    "token from the runner's folder": f"cd /proc/$PPID/cwd && cat .{TOKEN}",
    "token by a link": f"ln -s {TOKEN} /mnt/work/link && cat /mnt/work/link; rm /mnt/work/link",
    "token by a daemon": f"setsid sh -c 'cat {TOKEN}' & wait",
    "one key of a Secret as a file": "cat /mnt/sub/path",
    "file that the runner was given": "cat /mnt/kubeconfig",
    "file under another name": f"ln /mnt/kubeconfig /mnt/other; {NEXT} cat /mnt/other",
    "file in another folder": f"mv /mnt/kubeconfig /mnt/work; {NEXT} cat /mnt/work/kubeconfig",
    "descriptor that a program inherits": "cat <&3",
    "open file of the runner": "for one in /proc/$PPID/fd/*; do test -f $one && cat $one; done; true",
    "descriptor taken from the runner": python(TAKE),
    "runner under a debugger": python(ATTACH),
}
OF_THE_PROCESS = [way for way, command in WAYS.items() if "$PPID" in command]
NEVER = {"descriptor that a program inherits"}  # what is closed in either case
COMMON = {
    "echo fine": "fine",
    "cat /mnt/plain": "of everybody",
    "cd /mnt/work; mkdir a b && echo new > a/x && ln a/x b/x && mv b/x y && cat y && rm -r /mnt/work/*": "new",
    "cd /mnt/work; echo new > y && mv y /dev/shm/y && : > /dev/shm/y && wc -c < /dev/shm/y; rm /dev/shm/y": "0",
    "yes | head -n 1": "y",
    "tr '\\0' '\\n' < /proc/self/environ": "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "echo /proc/self/fd/* | tr -cd ' ' | wc -c": "3",  # and the folder itself, while it is listed
    "grep -c '^SigIgn:.0000000[01][08]0000000$' /proc/self/status": "1",  # but 32 and 33, which make's children ignore
    "echo out | tee /dev/stderr 2>/dev/null": "out",
    f"{PYTHON} -I -S -c 'import socket; socket.socketpair(); print(1 + 1)'": "2",
}


def run(how: str, commands: list[str], *refused: str) -> list[tuple[str, str]]:
    """Outcome and text of each command in a runner's pod, whose runtime refuses these system calls."""
    environment = str(Path(sys.prefix).resolve())
    done = subprocess.run(
        [
            "env",
            "--default-signal",
            "unshare",
            "--mount",
            "--wd",
            str(CHECKOUT),
            "sh",
            "-c",
            POD,
            environment,
            how,
            *refused,
        ],
        input=json.dumps(commands),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "/mnt/checkout", "ACCESS_KEY": "credential-of-the-run"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(outcome, text) for outcome, text in json.loads(done.stdout.splitlines()[-1])]


@cache
def found_by(how: str) -> Mapping[str, tuple[str, str]]:
    """Way -> what it gave at last."""
    probes = [(way, command) for way, commands in WAYS.items() for command in commands.split(NEXT)]
    return {way: found for (way, _command), found in zip(probes, run(how, [one for _, one in probes]), strict=True)}


@pytest.mark.kernel
@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_a_credential(way: str) -> None:
    """It does without the confinement, and with it no word of one comes out."""
    assert ("credential" in found_by("as it was")[way][1]) is (way not in NEVER), found_by("as it was")[way]
    outcome, text = found_by("confined")[way]
    assert outcome == "Failed", text
    assert "credential" not in text


@pytest.mark.kernel
def test_runner_itself_is_closed_where_an_operator_does_without() -> None:
    """Files can be read then; environment, memory and descriptors cannot."""
    found = run("unconfined", [WAYS["token of the account"], *(WAYS[way] for way in OF_THE_PROCESS)])
    assert "credential-of-the-account" in found[0][1]
    assert len(found) == 8
    assert not [text for _outcome, text in found[1:] if "credential" in text]


@pytest.mark.parametrize("version", [1, 2, 3, 5, 6])
def test_older_kernels_hide_the_same_files(tmp_path: Path, version: int) -> None:
    """The first version renames nothing to another folder, the sixth has scopes; all hide."""
    hidden, work = tmp_path / "hidden", tmp_path / "work"
    hidden.write_text("credential")
    work.mkdir()
    command = f"cat {hidden}; cd {work} && mkdir f && echo ok > x && cp x f/y && : > x && mv f/y f/z && cat f/z"
    moves = f"ln x f/x 2>/dev/null && echo moved; kill -0 {os.getpid()} 2>/dev/null && echo signalled"
    done = subprocess.run(
        [sys.executable, "-c", OLDER, str(hidden), str(version), f"{command}; {moves}; true"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["ok", *["moved"] * (version >= 2), *["signalled"] * (version < 6)]
    assert done.stderr == f"cat: {hidden}: Permission denied\n"


def test_runner_s_pod_is_confined_as_it_is_made() -> None:
    """No privilege, the runtime's own seccomp profile, nothing to write to, and no leave to do without."""
    place = RunnerPlace("runner", "chaos", "image", "i", "https://m", "a", "o", "p", "e", "k", "l")
    manifest = read_manifest(json.loads(SAMPLE.read_bytes())["data"]["experimentYaml"])
    made = {one["kind"]: one for one in runner_manifests(place, RunIds("e", "r", "n"), manifest)}
    pod = made["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "runAsUser": 2000,
        "runAsGroup": 2000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert not {"volumes", "shareProcessNamespace", "hostPID"} & set(pod)
    variables = made["ConfigMap"]["data"] | made["Secret"]["stringData"] | {"CHAOS_NAMESPACE": "chaos"}
    assert not read_environment(variables).unconfined
    assert read_environment(variables | {UNCONFINED: "true"}).unconfined


def test_runner_closes_its_memory_first() -> None:
    """Before it reads a setting; whoever is of its user is kept out from then on."""
    done = subprocess.run(
        [sys.executable, "-c", CLOSED], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1 0\n"


@pytest.mark.kernel
def test_everything_else_is_as_it_was() -> None:
    """Pipes, files that come and go, folders, signals, sockets; nothing but PATH and three descriptors is inherited."""
    wanted = [("Failed", f"output '{text}': expected equal 'nothing'") for text in COMMON.values()]
    assert run("as it was", list(COMMON)) == wanted
    assert run("confined", list(COMMON)) == wanted


@pytest.mark.kernel
def test_runtime_that_cannot_hide_them_runs_no_command() -> None:
    """Neither without Landlock nor where a part of it is refused: the probe's error says so, and nothing has run."""
    commands = ["touch /mnt/work/ran", "ls /mnt/work"]
    found = run("confined", commands, "landlock_create_ruleset")
    assert found[0] == found[1]
    assert found[0][0] == "Error"
    assert "no Landlock (Function not implemented), expected 5.13 or newer" in found[0][1]
    for call in ("landlock_add_rule", "landlock_restrict_self"):
        found = run("confined", commands, call)
        assert [outcome for outcome, _text in found] == ["Error", "Error"]
        assert {text.rpartition(": ")[2] for _outcome, text in found} == {"Function not implemented\n"}
