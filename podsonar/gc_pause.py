"""Pauses Python's garbage collector while many objects are made that hold no cycles."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOCK = threading.Lock()
HOLDERS: list[None] = []


@contextmanager
def gc_paused() -> Iterator[None]:
    """No collection until the last holder, of any thread, is done."""
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
