"""When tests kill a delegate at work: moments from a seed, of which pytest shows the line where a test fails."""

import os
import random
import time
from collections.abc import Mapping

SEED = "PODSONAR_TEST_KILL_SEED"


def kill_moments(environ: Mapping[str, str] = os.environ) -> random.Random:
    """The moments of `PODSONAR_TEST_KILL_SEED`, else of the time; the seed is printed."""
    seed = int(environ.get(SEED, time.time_ns() % 10**9))
    print(f"{SEED}={seed}")  # noqa: T201
    return random.Random(seed)  # noqa: S311 - no secret
