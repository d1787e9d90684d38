"""What an agent speaks with, where that is to answer: a directory that names everybody, a manager that stores all."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from podsonar.json_gzip import unpack
from podsonar.model import Query
from tests.node_agent import stages
from tests.post_server import Answer, Posted, answering


@contextmanager
def directory_and_manager() -> Iterator[tuple[str, list[tuple[int, dict[str, object]]]]]:
    """The address of both, and when each batch came."""
    came: list[tuple[int, dict[str, object]]] = []

    def answer(posted: Posted) -> Answer:
        if posted.path.endswith("/resolve"):
            queries = [
                Query(one.get("address"), pod_uid=one.get("podUid")) for one in orjson.loads(posted.body)["queries"]
            ]
            return Answer(200, orjson.dumps({"answers": [stages.directory(one).wire() for one in queries]}))
        came.append((time.time_ns(), unpack(posted.body)))
        return Answer(201, b"{}")

    with answering(answer) as url:
        yield url, came
