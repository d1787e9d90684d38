"""Orders windows at the collector: `POST /v1/windows`, and what it knows of a run."""

from collections.abc import Sequence
from typing import NamedTuple

import httpx
import orjson

from chaos.runner.kserver_client import RETRIED
from podsonar.cookies import no_cookies
from podsonar.errors import InputError, PodsonarError, words_of
from podsonar.keep_alive import CLIENT_IDLE_SECONDS
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339, rfc3339
from podsonar.window_orders import PATH, read_orders

TIMEOUT = httpx.Timeout(15.0, connect=5.0)


class WindowsRefusedError(PodsonarError):
    """The collector does not take the order; `next_free_ns` is when it would, `again` whether it may later."""

    def __init__(self, text: str, next_free_ns: int | None = None, *, again: bool = False) -> None:
        super().__init__(text)
        self.next_free_ns, self.again = next_free_ns, again


class KnownWindows(NamedTuple):
    """The windows of a run, and how many agents wait for orders."""

    windows: tuple[Window, ...]
    listening: int


class WindowClient:
    """The directory port of a collector, with the agents' token."""

    def __init__(self, url: str, token: str, ca_file: str = "") -> None:
        self.url = url.rstrip("/") + PATH
        self.http = httpx.Client(
            headers={"Authorization": f"Token {token}"},
            cookies=no_cookies(),
            timeout=TIMEOUT,
            limits=httpx.Limits(keepalive_expiry=CLIENT_IDLE_SECONDS),
            trust_env=False,
            verify=ca_file or True,
        )

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def order(self, run: str, start_ns: int, seconds: int, kinds: Sequence[str]) -> KnownWindows:
        """Order windows back to back; WindowsRefusedError with the collector's sentence."""
        windows = [
            {"start": rfc3339(start_ns + place * seconds * NS_PER_SECOND), "seconds": seconds, "kind": kind}
            for place, kind in enumerate(kinds)
        ]
        return self.ask("POST", "", {"run": run, "windows": windows})

    def of_run(self, run: str) -> KnownWindows:
        """The windows of a run; WindowsRefusedError if the collector knows none (any more)."""
        return self.ask("GET", f"/{run}")

    def ask(self, method: str, path: str, body: object = None) -> KnownWindows:
        """The answer of a request."""
        try:
            response = self.http.request(method, self.url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WindowsRefusedError(f"{self.url}: {words_of(error)}", again=True) from error
        text = f"{self.url} answered {response.status_code}"
        try:
            found = orjson.loads(response.content)
            if response.is_success:
                return KnownWindows(read_orders(response.content).windows, int(found["listening"]))
            sentence, free = str(found["error"])[:400], found.get("nextFree")
            next_free_ns = parse_rfc3339(free) if free else None
        except (orjson.JSONDecodeError, InputError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise WindowsRefusedError(f"{text} without a collector's words", again=True) from error
        raise WindowsRefusedError(f"{text}: {sentence}", next_free_ns, again=response.status_code in RETRIED)
