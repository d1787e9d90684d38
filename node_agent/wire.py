"""The pieces that the records of both ends of a connection share on the wire."""

from functools import lru_cache
from typing import Any

from discovery.records import NS_PER_SECOND, Answer, rfc3339


@lru_cache(maxsize=4096)
def second_text(second: int) -> str:
    """The wire form of a second, up to the point: a window has few of them and many flows in each."""
    return rfc3339(second * NS_PER_SECOND)[:20]


def wire_time(at_ns: int) -> str:
    """The same text as `rfc3339`."""
    return f"{second_text(at_ns // NS_PER_SECOND)}{at_ns % NS_PER_SECOND // 1000:06d}Z"


def reference(answer: Answer) -> dict[str, Any]:
    """An object reference in the shape of v1.ObjectReference."""
    return {"kind": answer.kind, "uid": answer.uid, "namespace": answer.namespace, "name": answer.name}
