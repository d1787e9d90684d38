"""Puts batches into a spool and pushes them until it is killed; arguments: folder, URL, number of the turn.

The id of each batch is printed once the spool has it. No more wait than a spool holds: what is beyond is dropped.
"""

import sys
import time
from pathlib import Path

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.manager.shop import NODE_A

MOST_WAITING = 500


def main() -> None:
    """Put two batches, push one, and so on, while few wait: when it is killed some do, and one may be under way."""
    folder, url, turn = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    spool = Spool(folder / "spool")
    settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
    pusher = Pusher(settings, spool, TokenFile(str(folder / "token")))
    for number in range(1_000_000):
        if spool.stats().batches < MOST_WAITING:
            name = f"c-{turn}-{number}"
            spool.put(Batch(name, "connections", time.time_ns(), pack(NODE_A)))
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
        if number % 2:
            pusher.step()


if __name__ == "__main__":
    main()
