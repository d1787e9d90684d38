"""Has glibc give freed memory back to the system: large blocks at once, and few heaps that keep the others."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # <malloc.h> of glibc
LARGE_BLOCK_BYTES, SPARE_BYTES = 1 << 20, 2 << 20


def return_large_blocks(*, heaps: int | None = None) -> None:
    """Have every block of a page's size given back to the system when it is freed.

    glibc raises its own threshold to the largest block that was freed, and keeps bodies on a heap with holes: 90 MiB
    at the peak, not 80. Smaller blocks come again and again, and would cost a page fault for every 4 KiB.

    Threads share `heaps`, if given: else glibc has eight per processor, and each keeps what was once needed in it, 50
    MiB and more after a hostile push. Call it before the first thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have no such habit
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
        mallopt(M_TRIM_THRESHOLD, SPARE_BYTES)
        if heaps is not None:
            mallopt(M_ARENA_MAX, heaps)
