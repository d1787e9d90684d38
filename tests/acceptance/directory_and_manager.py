"""A directory that knows every address and a manager that stores every batch, for an agent to talk to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from podsonar.directory_answer import Query
from podsonar.json_gzip import unpack
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.node_agent import stages


@contextmanager
def directory_and_manager() -> Iterator[tuple[str, list[tuple[int, dict[str, object]]]]]:
    """The URL of both, and the list of (arrival time in ns, body) of each batch."""
    batches: list[tuple[int, dict[str, object]]] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        if posted.path.endswith("/resolve"):
            queries = [
                Query(query.get("address"), pod_uid=query.get("podUid"))
                for query in orjson.loads(posted.body)["queries"]
            ]
            return GivenAnswer(200, orjson.dumps({"answers": [stages.directory(query).wire() for query in queries]}))
        batches.append((time.time_ns(), unpack(posted.body)))
        return GivenAnswer(201, b"{}")

    with answering(answer) as url:
        yield url, batches
