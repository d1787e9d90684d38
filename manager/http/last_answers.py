"""The last answer of a reader, for a database that stands still: a map of seconds ago instead of a page that waits.

An answer belongs to a key and a URL: who gets it again has had it already. `Age` (RFC 9111, 5.1) is there only where an
old answer is given. A key that was refused since, or an agent that is gone, takes its answers along.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from http import HTTPStatus
from typing import NamedTuple

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.http.versioned import accepts_gzip, has_version
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

PATIENCE_SECONDS = 0.4
PING_SECONDS = 0.3
OLDEST_SECONDS = 60.0
MOST_BYTES = 16 << 20


class LastAnswer(NamedTuple):
    """A response with a body, and when it was known to be the newest (seconds of a monotonic clock)."""

    response: Response
    at: float

    @property
    def tag(self) -> str:
        """Its ETag."""
        return self.response.headers.get("etag", "")


class LastAnswers:
    """At most 16 MiB of answers, the oldest use first to go; safe to use from several threads.

    `ping` asks the database something small: while that is answered, an answer that takes long to make is waited for.
    """

    def __init__(self, ping: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.ping, self.clock = ping, clock
        self.lock = threading.Lock()
        self.answers: OrderedDict[bytes, LastAnswer] = OrderedDict()
        self.size = 0
        self.late: set[bytes] = set()

    async def answer(self, request: Request, make: Callable[[Request], Response]) -> Response:
        """What `make` returns from a thread; the last answer where the database stands still, or has failed."""
        name = name_of(request)
        if name in self.late and (old := self.old_response(request, name)):
            return old  # one thread waits already
        made = asyncio.ensure_future(run_in_thread(self.make_and_keep, name, request, make))
        if self.find(name) and not await self.comes(made):
            old = self.old_response(request, name)
            if old and not made.done():
                self.late.add(name)
                made.add_done_callback(lambda _made: self.forget_late(name, made))
                return old
        try:
            return await made
        except HTTPException as error:
            old = self.old_response(request, name) if error.status_code == HTTPStatus.SERVICE_UNAVAILABLE else None
            if old is None:
                raise
            return old

    async def comes(self, made: "asyncio.Future[Response]") -> bool:
        """Whether an answer is there soon, or will be, since the database answers."""
        done, _waiting = await asyncio.wait({made}, timeout=PATIENCE_SECONDS)
        if done:
            return True
        with anyio.move_on_after(PING_SECONDS), suppress(StoreError):
            await run_in_thread(self.ping, abandon_on_cancel=True)
            return True
        return False

    def forget_late(self, name: bytes, made: "asyncio.Future[Response]") -> None:
        """The thread that was not waited for has ended; what it made is kept already."""
        self.late.discard(name)
        if not made.cancelled():
            made.exception()  # nobody else takes it

    def make_and_keep(self, name: bytes, request: Request, make: Callable[[Request], Response]) -> Response:
        """What `make` returns, which is kept; a refusal ends what was kept."""
        try:
            response = make(request)
        except HTTPException as error:
            if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                self.drop(name)
            raise
        self.keep(name, response)
        return response

    def keep(self, name: bytes, response: Response) -> None:
        """Keep an answer with a body; one without says that the kept one is still the newest."""
        now = self.clock()
        with self.lock:
            before = self.answers.pop(name, None)
            if (
                response.status_code == HTTPStatus.NOT_MODIFIED
                and before
                and before.tag == response.headers.get("etag")
            ):
                self.answers[name] = before._replace(at=now)
                return
            self.size -= len(before.response.body) if before else 0
            if response.status_code != HTTPStatus.OK or len(response.body) > MOST_BYTES // 4:
                return
            self.answers[name] = LastAnswer(response, now)
            self.size += len(response.body)
            while self.size > MOST_BYTES:
                self.size -= len(self.answers.popitem(last=False)[1].response.body)

    def drop(self, name: bytes) -> None:
        """Forget an answer: who asks may not have it any more."""
        with self.lock:
            before = self.answers.pop(name, None)
            self.size -= len(before.response.body) if before else 0

    def find(self, name: bytes) -> LastAnswer | None:
        """The last answer, unless it is too old."""
        with self.lock:
            found = self.answers.get(name)
        return found if found and self.clock() - found.at <= OLDEST_SECONDS else None

    def old_response(self, request: Request, name: bytes) -> Response | None:
        """The last answer with its age; without its body for who has it."""
        found = self.find(name)
        if found is None:
            return None
        headers = {key: value for key, value in found.response.headers.items() if key != "content-length"}
        headers["Age"] = str(int(self.clock() - found.at))
        if found.tag and has_version(request, found.tag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.response.body, headers=headers)


def name_of(request: Request) -> bytes:
    """A digest of who asks and for what; it shows nothing of the key."""
    digest = blake2b(digest_size=16)
    for part in (
        request.headers.get("x-api-key", ""),
        request.headers.get("authorization", ""),
        request.url.path,
        request.url.query,
        "gzip" if accepts_gzip(request) else "",
    ):
        digest.update(part.encode() + b"\0")
    return digest.digest()
