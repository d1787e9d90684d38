"""Holds one request at the collector until windows are ordered; nothing else wakes the node while there are none."""

import threading
import time
from collections.abc import Callable

import httpx
import structlog

from podsonar.errors import DirectoryUnavailableError, InputError, TokenError, words_of
from podsonar.model import Window
from podsonar.supervised import Backoff
from podsonar.window_orders import MOST_WAIT_SECONDS, PATH, read_orders

MAX_BODY_BYTES = 64 << 10
ANSWER_SECONDS = MOST_WAIT_SECONDS + 15.0
FASTEST_SECONDS = 1.0  # between two requests, whatever answers them
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 4.0, 60.0  # a window is ordered 15 s ahead

log = structlog.get_logger()


class OrderClient:
    """`GET <url>/v1/windows?after=REVISION&wait=60`, again and again; each new list goes to `take`."""

    def __init__(
        self, client: httpx.Client, url: str, token: Callable[[], str], take: Callable[[tuple[Window, ...]], object]
    ) -> None:
        self.client, self.url, self.token, self.take = client, url.rstrip("/") + PATH, token, take
        self.revision = ""
        self.pace = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)

    def turn(self, stop: threading.Event) -> None:
        """Wait for orders once; after a failure pause, longer each time."""
        began = time.monotonic()
        try:
            self.wait_for_orders()
        except DirectoryUnavailableError as error:
            log.warning("orders_unavailable", error=str(error))
            stop.wait(self.pace.next_seconds())
        else:
            self.pace.reset()
            stop.wait(max(0.0, FASTEST_SECONDS - (time.monotonic() - began)))

    def wait_for_orders(self) -> None:
        """Hold one request; DirectoryUnavailableError if the collector has no answer to it."""
        try:
            headers = {"Authorization": f"Token {self.token()}", "Accept-Encoding": "identity"}
            with self.client.stream(
                "GET",
                self.url,
                params={"after": self.revision, "wait": str(MOST_WAIT_SECONDS)},
                headers=headers,
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=5),
            ) as response:
                if response.status_code == 204:
                    return
                if response.status_code != 200:
                    raise DirectoryUnavailableError(f"{self.url} answered {response.status_code}, expected 200 or 204")
                orders = read_orders(read_bounded(response))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, InputError, TokenError) as error:
            raise DirectoryUnavailableError(f"{self.url}: {words_of(error)}") from error
        self.take(orders.windows)
        self.revision = orders.revision


def read_bounded(response: httpx.Response) -> bytes:
    """Return the body; InputError if it is longer than any list of orders."""
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InputError(f"the body is longer than {MAX_BODY_BYTES} bytes")
    return body
