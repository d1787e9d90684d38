"""A list is whole or says why it is not; what it holds leaves without secrets; an unreachable server proves nothing."""

from typing import Any

import orjson
import pytest

from collector.kinds import KINDS
from collector.listing import Listed, pages
from collector.redaction import Redaction

POD = KINDS[-1]
CANARY = "canary-3f9a"


class Pages:
    """Serves the objects of a kind in pages; does not check labels, versions or rights."""

    def __init__(self, count: int, status: int = 200) -> None:
        self.count, self.status, self.asked = count, status, 0

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """One page of at most `limit` objects, or the fixed status."""
        self.asked += 1
        begin, limit = int(query.get("continue", 0)), int(query["limit"])
        end = min(begin + limit, self.count)
        metadata = {"resourceVersion": "7", "continue": str(end) if end < self.count else ""}
        items = [{"metadata": {"uid": str(number)}} for number in range(begin, end)]
        return self.status, None, orjson.dumps({"metadata": metadata, "items": items})


def test_list_of_many_pages_arrives_whole() -> None:
    """1,253 pods arrive as 1,253, over three pages."""
    listed, source = Listed(), Pages(1253)
    uids = {item["metadata"]["uid"] for page in pages(source, POD, None, listed) for item in page}
    assert (len(uids), listed.count, listed.reason, source.asked) == (1253, 1253, None, 3)


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "forbidden"), (404, "unsupported"), (401, "unauthorized"), (410, "expired")]
)
def test_list_that_is_refused_says_why(status: int, reason: str) -> None:
    """A list that cannot be had is incomplete, with a reason."""
    listed = Listed()
    assert not [item for page in pages(Pages(1, status), POD, None, listed, lambda _: None) for item in page]
    assert listed.reason == reason


@pytest.mark.parametrize(
    "pod",
    [
        {"spec": {"containers": [{"env": [{"name": "A", "value": CANARY}]}]}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}},
        {"metadata": {"managedFields": [{"fieldsV1": {CANARY: {}}}]}},
        {"spec": {"containers": [{"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "A", "value": CANARY}]}}}]}},
        {"spec": {"containers": [{"args": ["--db-password", CANARY]}]}},
        {"spec": {"containers": [{"args": [f"--token={CANARY}"]}]}},
        {"spec": {"containers": [{"args": [f"postgres://app:{CANARY}@db/shop"]}]}},
    ],
)
def test_secret_in_an_object_is_redacted(pod: dict[str, Any]) -> None:
    """No place that holds secrets leaves the collector with them."""
    assert CANARY.encode() not in orjson.dumps(Redaction().mapping(pod))
