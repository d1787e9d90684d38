"""The pieces that the records of both ends of a connection share on the wire."""

from functools import lru_cache
from typing import Any

from discovery.records import NS_PER_SECOND, Answer, rfc3339


@lru_cache(maxsize=4096)
def second_text(second: str) -> str:
    """The wire form of a second, up to the point: a window has few of them and many flows in each."""
    return rfc3339(int(second) * NS_PER_SECOND)[:20]


def wire_time(at_ns: int) -> str:
    """The same text as `rfc3339`."""
    digits = "%010d" % at_ns  # noqa: UP031 - half the time of any other way, and there are 200,000
    return f"{second_text(digits[:-9])}{digits[-9:-3]}Z"


def reference(answer: Answer) -> dict[str, Any]:
    """An object reference in the shape of v1.ObjectReference."""
    return {"kind": answer.kind, "uid": answer.uid, "namespace": answer.namespace, "name": answer.name}
