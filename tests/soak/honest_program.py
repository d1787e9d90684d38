"""An honest agent of a soak: a window per second into a spool, pushed by the real pusher, until SIGTERM.

Arguments: folder (with `token`), URL, seconds to deliver the rest in at the end. The last line of its output is JSON:
the ids of all batches, the seconds of each stored push, what was dropped. What the disk does not take is kept in memory
and put again.
"""

import json
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from delivery.batch import Batch, batch_of_payload
from delivery.push import Pusher, PushOutcome
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.errors import SpoolError
from podsonar.json_gzip import pack
from podsonar.model import Window
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from podsonar.timestamp import NS_PER_SECOND
from tests.manager.shop import connection, inventory, observed

CONNECTIONS = 499  # per window
EVERY_SECONDS = 1.0
INVENTORY_EVERY = 30


def made(number: int, start_ns: int) -> Batch:
    """The batch of a window; now and then an inventory."""
    window = Window(start_ns, start_ns + NS_PER_SECOND)
    if number % INVENTORY_EVERY == 0:
        body = inventory(id=f"inv-{number}", sequence=number + 1) | {"window": window.wire()}
        return batch_of_payload(pack(body), "inventory", window, f"honest-{number}")
    flows = [
        connection("frontend-1", "10.1.1.10", "10.96.0.11", port + 1, service="cart", n=3)
        for port in range(CONNECTIONS)
    ]
    body = observed("node-a", flows, []) | {"window": window.wire()}
    return batch_of_payload(pack(body), "connections", window, f"honest-{number}", 3 * CONNECTIONS)


def main() -> None:
    """Put and push until SIGTERM, then deliver what is left."""
    folder, url, rest_seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    stop, put, kept = threading.Event(), [], []
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    dropped: list[tuple[str, str, int]] = []
    seconds: list[float] = []

    def note(outcome: PushOutcome) -> None:
        if outcome.code == "201":
            seconds.append(outcome.seconds)

    failures: list[str] = []
    settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
    with closing(Spool(folder / "spool", on_dropped=lambda *one: dropped.append(one))) as spool:
        token = TokenFile(str(folder / "token"))
        with closing(Pusher(settings, spool, token, note, failures.append)) as pusher:
            ended = threading.Event()
            thread = threading.Thread(target=pusher.run, args=(ended,), daemon=True)
            thread.start()
            first_ns, number = time.time_ns() // NS_PER_SECOND * NS_PER_SECOND, 0
            while not stop.wait(EVERY_SECONDS):
                kept.append(made(number, first_ns + number * NS_PER_SECOND))
                number += 1
                try:
                    while kept:
                        spool.put(kept[0])
                        put.append(kept.pop(0).id)
                except SpoolError:
                    continue  # a full disk: it goes into the spool with the next window
            for batch in kept:
                spool.put(batch)
                put.append(batch.id)
            deadline = time.monotonic() + rest_seconds
            while spool.stats().batches and time.monotonic() < deadline:
                time.sleep(0.2)
            left = spool.stats().batches
            ended.set()
            spool.wakeup.set()
            thread.join(30)
    report = {"put": put, "seconds": seconds, "dropped": dropped, "left": left, "failures": failures}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
