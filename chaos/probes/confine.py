"""Becomes a program that can neither use certain files nor look into the processes that it was started by.

    python3 -I -S -B confine.py [PATH]... -- PROGRAM [ARGUMENT]...

Landlock (landlock(7), linux/landlock.h), kernel 5.13, enabled at boot; no privilege is needed. The kernel is told what
may be used, so that is everything beside the way to each path. In the folders on the way nothing can be made, removed
or renamed: what is hidden stays where the next command will not find it, either. Names and sizes can be seen.

A confined process cannot look into one that is not: ptrace(2), and whatever of /proc/PID is guarded by it. It cannot
give up the confinement, and its children have it, too.

Exit status 126, with the reason, if it cannot be done. Standard library only.
"""

import ctypes
import os
import signal
import stat
import struct
import sys
from collections.abc import Iterator

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
# The same on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION, PATH_BENEATH = 1, 1
WRITE_FILE, READ_FILE, TRUNCATE = 1 << 1, 1 << 2, 1 << 14
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM, REFER = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12, 1 << 13
OF_FOLDERS = REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM
OTHERS_SOCKETS, OTHERS_SIGNALS = 1 << 0, 1 << 1  # abstract UNIX sockets and processes outside
REFER_SINCE, TRUNCATE_SINCE, SCOPES_SINCE = 2, 3, 6  # versions; kernel 5.19, 6.2 and 6.12
CANNOT_RUN = 126

libc = ctypes.CDLL(None, use_errno=True)


def call(what: str, number: int, *arguments: object) -> int:
    """What a system call returns; OSError says what was tried."""
    done: int = libc.syscall(number, *arguments)
    if done < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return done


def landlock_version() -> int:
    """The kernel's version of Landlock; OSError: it has none, it is not enabled, or a filter refuses the call."""
    return call("Landlock", CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)


def close_memory() -> None:
    """Keep this process' memory, environment and descriptors from others of its user, and write no core (prctl(2))."""
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")


def beside(folder: str, hidden: set[str]) -> Iterator[str]:
    """What is below a folder, and neither hidden nor on the way to what is."""
    if not any(path.startswith(f"{folder.rstrip('/')}/") for path in hidden):
        yield folder
        return
    try:
        entries = [entry.path for entry in os.scandir(folder) if not entry.is_symlink()]
    except (PermissionError, FileNotFoundError):  # of a folder that cannot be listed nothing can be allowed
        return
    for path in entries:
        if path not in hidden:
            yield from beside(path, hidden)


def allow(rules: int, of_files: int, of_folders: int, path: str) -> None:
    """Let a file, or a folder with all that is below it, be used so."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (PermissionError, FileNotFoundError):  # it cannot be reached, or has just gone
        return
    try:
        rights = of_files | (of_folders if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 0)
        call(path, ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def confine(paths: list[str], version: int) -> None:
    """Give up, for good and for every child, what the module's first lines say; OSError if the kernel refuses.

    Of a version of Landlock: an older one than the kernel's does less.
    """
    refer = REFER if version >= REFER_SINCE else 0  # unless it is allowed, nothing is renamed to another folder
    of_files = READ_FILE | WRITE_FILE | (TRUNCATE if version >= TRUNCATE_SINCE else 0)
    scopes = OTHERS_SOCKETS | OTHERS_SIGNALS if version >= SCOPES_SINCE else 0
    ruleset = struct.pack("=QQQ", of_files | OF_FOLDERS | refer, 0, scopes)
    rules = call("Landlock", CREATE_RULESET, ruleset, ctypes.c_size_t(len(ruleset)), 0)
    if refer:
        allow(rules, 0, refer, "/")
    for path in beside("/", {os.path.realpath(one) for one in paths if os.path.lexists(one)}):
        allow(rules, of_files, OF_FOLDERS, path)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("Landlock", RESTRICT_SELF, rules, 0)
    os.close(rules)


def become(words: list[str]) -> None:
    """Execute a program with what Python has changed undone: signals that it ignores, a locale that it sets."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execve(words[0], words, {name: value for name, value in os.environ.items() if name != "LC_CTYPE"})


def main(words: list[str]) -> int:
    """Confine this process and become the program; returns only if that fails."""
    end = words.index("--")
    try:
        confine(words[:end], landlock_version())
        become(words[end + 1 :])
    except OSError as error:
        sys.stderr.write(f"not confined: {error.filename}: {error.strerror}\n")
    return CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
