"""The cyclic garbage collector held off while a page is worked on: a page has no cycles, and millions of objects.

Half of the time of parsing was the collector looking for cycles among them.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOCK = threading.Lock()
HOLDERS: list[None] = []


@contextmanager
def paused_collector() -> Iterator[None]:
    """No collection until the last of the holders is done."""
    with LOCK:
        HOLDERS.append(None)
        gc.disable()
    try:
        yield
    finally:
        with LOCK:
            HOLDERS.pop()
            if not HOLDERS:
                gc.enable()
