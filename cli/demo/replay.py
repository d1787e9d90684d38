"""The demo without root or BPF: a bundled capture goes through the same stages into the manager."""

from pathlib import Path
from typing import Any

import orjson

from delivery.batch import make_batch
from delivery.push import Pusher
from delivery.spool import Spool, SpoolLimits
from delivery.token_file import TokenFile
from directory.from_inventory import directory_from_inventory
from directory.selection import Selection
from lab.demo import shop
from node_agent.attribution.body import connections_body
from node_agent.attribution.flow_groups import directory_queries, group_flows
from node_agent.capture.files import capture_file
from node_agent.replay_inventory import read_inventory
from podsonar.errors import PodsonarError
from podsonar.settings import AgentSettings, ManagerEndpoint

RECORDED = Path(shop.__file__).parent / "recorded"
DELIVERY_SECONDS = 20.0


def replayed(folder: Path, url: str) -> list[dict[str, Any]]:
    """The truth of the bundled capture, which the manager has stored when this returns."""
    capture = capture_file.read(RECORDED / "shop.capture")
    bodies = read_inventory(RECORDED / "shop.inventory").bodies
    directory = directory_from_inventory(bodies, Selection()).directory
    traffic = group_flows(capture)
    outcome = connections_body.build_body(
        traffic, {query: directory.answer(query) for query in directory_queries(traffic)}
    )
    settings = AgentSettings(manager=ManagerEndpoint(url=url, token_file=str(folder / "token")))
    limits = SpoolLimits(settings.spool.max_bytes, settings.spool.max_files, settings.spool.max_age_seconds)
    spool = Spool(folder / "agent", limits, lambda *_: None)
    for body in bodies:
        content = orjson.dumps({**body, "window": capture.window.wire()})
        spool.put(make_batch([content], "inventory", capture.window))
    spool.put(make_batch(outcome.content(), "connections", capture.window))
    pusher = Pusher(settings, spool, TokenFile(settings.manager.token_file))
    pusher.flush(DELIVERY_SECONDS)
    pusher.close()
    if spool.stats().batches:
        raise PodsonarError(f"manager {url} did not store the replayed capture within {DELIVERY_SECONDS:.0f} s")
    return [edge.truth() for edge in shop.EDGES]
