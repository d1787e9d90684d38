"""Pushers whose spool has batches, for the tests of what peers do."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint

CREATED_NS = 1 << 62


@contextmanager
def pusher_of(folder: Path, url: str, batches: int = 1, ca_file: str = "") -> Iterator[Pusher]:
    """A pusher with that many batches."""
    (folder / "token").write_text("t" * 32)
    with closing(Spool(folder / "spool")) as spool:
        for number in range(batches):
            spool.put(Batch(f"c-{number}", "connections", CREATED_NS, pack({})))
        settings = AgentConfiguration(manager=ManagerEndpoint(url=url, ca_file=ca_file))
        with closing(Pusher(settings, spool, TokenFile(str(folder / "token")))) as pusher:
            yield pusher
