"""The container's first process: starts the agent without capabilities, and a loader whenever the agent asks for one.

    python3 -I -S supervisor.py LOADER_PYTHON LOADER_SCRIPT AGENT_COMMAND...

It has no network and parses nothing: each message on its socket pair carries one descriptor, which becomes the new
loader's socket; each loader gets one memfd, too, in which the first one keeps what it compiled for the next ones. It
keeps the capabilities it was started with, for the loaders; the agent loses every one before it runs (no_new_privs
makes that final, prctl(2)) and gets a system call filter. `{fd}` in the agent's command is replaced by the agent's end.

It runs as long as the agent does, so it uses the interpreter's built-in `_signal` and `_socket`: `signal` and `socket`
import `enum`, `collections` and more, a quarter of this process's memory (0.9 MiB).
"""

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import os
import select
import sys

sys.path.insert(0, __file__.rpartition("/node_agent/")[0])  # it runs as a script, by its whole path

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CAPABILITY_VERSION_3 = 0x20080522


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the supervisor ends; exit if it has ended already."""
    import ctypes  # noqa: PLC0415 - only in a child that execs: the supervisor never loads it

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)


def refuse_system_calls() -> None:
    """Install the agent's system call filter; on a kernel without seccomp print a warning and continue."""
    from node_agent.privileged import seccomp  # noqa: PLC0415

    try:
        seccomp.install()
    except (OSError, KeyError) as error:
        os.write(2, f"podsonar: the agent runs without a seccomp filter: {error}\n".encode())


def drop_capabilities() -> None:
    """Drop every effective, permitted and inheritable capability for good (capset(2))."""
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def spawn(command: list[str], keep_fds: tuple[int, ...], *, bare: bool) -> int:
    """Start a child that inherits these descriptors and dies with this process; return its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        die_with_parent(parent)
        if bare:
            drop_capabilities()
            refuse_system_calls()
        for descriptor in keep_fds:
            os.set_inheritable(descriptor, True)
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"podsonar: cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


def exit_code(status: int) -> int:
    """Return the shell's exit code for a wait status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def supervise(loader: list[str], agent: list[str]) -> int:
    """Run the agent to its end and return its exit code; start a loader for each descriptor that it sends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [word.replace("{fd}", str(theirs.fileno())) for word in agent]
    forwarded = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    signal.pthread_sigmask(
        signal.SIG_BLOCK, forwarded
    )  # a signal that arrives now must reach the agent instead of ending this process
    agent_pid = spawn(command, (theirs.fileno(),), bare=True)
    theirs.close()
    for number in forwarded:
        signal.signal(number, lambda received, _frame: os.kill(agent_pid, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(ours, 1)
    poll.register(wake_read, 1)
    kept = os.memfd_create("code")  # made after the agent has begun: it never has this descriptor
    ended: int | None = None
    while ended is None:
        for descriptor, _event in poll.poll(1000):
            if descriptor == wake_read:
                os.read(wake_read, 512)
            else:
                start_loader(ours, poll, loader, kept)
        ended = reap(agent_pid)
    return exit_code(ended)


def start_loader(ours: socket.socket, poll: object, loader: list[str], kept: int) -> None:
    """Take one descriptor from the agent and start a loader on it, and on the memfd of all loaders."""
    space = socket.CMSG_SPACE(4)
    _data, ancillary, _flags, _address = ours.recvmsg(64, space)
    if not ancillary:
        poll.unregister(ours)  # type: ignore[attr-defined]
        return
    descriptor = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
    spawn([*loader, str(descriptor), str(kept)], (descriptor, kept), bare=False)
    os.close(descriptor)


def reap(agent_pid: int) -> int | None:
    """Reap ended children; return the agent's wait status if it has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == agent_pid:
            return status
        if pid == 0:
            return None


if __name__ == "__main__":
    sys.exit(supervise([sys.argv[1], "-I", "-B", sys.argv[2]], sys.argv[3:]))
