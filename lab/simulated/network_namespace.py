"""Work in another network namespace, in a pod: only the standard library, since it runs without the package."""

import contextlib
import ctypes
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def in_network(path: str | None) -> Iterator[None]:
    """Work in another network namespace, as ambient proxies and nsenter do; in the own one if no path is given."""
    if path is None:
        yield
        return
    with open("/proc/thread-self/ns/net") as own, open(path) as other:  # noqa: PTH123
        set_network(other.fileno())
        try:
            yield
        finally:
            set_network(own.fileno())


def set_network(descriptor: int) -> None:
    """Move this thread into a network namespace."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
