"""Requests in the exact shape of the public Go log client: open, write, upload directly and by link, close.

Its paths are `<endpoint>/stream?accountID=…&key=…`; lines are numbered from 0 and have `args: null` and times with
nanoseconds; `expires` of a link is a number (Go's time.Duration).
"""

from typing import Any

import orjson
import pytest

from tests.chaos.conftest import ACCOUNT, Manager
from tests.manager.conftest import CLIENT


def line(number: int) -> dict[str, Any]:
    """A line as Go's encoder writes it."""
    return {
        "level": "info",
        "pos": number,
        "out": f"step {number} <b>&\u2028",
        "time": f"2025-05-01T17:27:56.{number:09}+02:00",
        "args": None,
    }


def encode(value: Any) -> bytes:
    """JSON as Go's encoder ends it."""
    return orjson.dumps(value) + b"\n"


@pytest.mark.parametrize("is_direct", [True, False])
def test_client_opens_writes_uploads_and_closes(manager: Manager, key: str, is_direct: bool) -> None:
    """Each line is there once, although they are written, partly written again, and uploaded as a whole."""
    endpoint = f"{manager.url}/gateway/log-service"
    headers = {"X-Harness-Token": manager.token, "User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
    stream = f"{endpoint}/stream?accountID={ACCOUNT}&key={key}"

    def do(method: str, url: str, content: bytes = b"") -> Any:
        answer = CLIENT.request(method, url, content=content, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer

    lines = [line(number) for number in range(9)]
    assert do("POST", stream).status_code == 204
    for written in ([lines[0]], lines[1:4], lines[1:4], [lines[0]], lines[4:7]):
        assert do("PUT", stream, encode(written)).status_code == 204
    assert do("PUT", stream, b"null\n").status_code == 204
    whole = b"".join(map(encode, lines))
    if is_direct:
        assert do("POST", f"{endpoint}/blob?accountID={ACCOUNT}&key={key}", whole).status_code == 204
    else:
        link = do("POST", f"{endpoint}/blob/link/upload?accountID={ACCOUNT}&key={key}").json()
        assert type(link["expires"]) is int
        do("PUT", link["link"], whole)
    assert do("DELETE", stream).status_code == 204
    assert manager.lines(key) == lines
    assert manager.info(key)["gaps"] == []
