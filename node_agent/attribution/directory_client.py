"""Asks the collector's directory; after any failure the same queries can be sent again later."""

import random
import ssl
import time
from collections.abc import Callable

import httpx
import orjson
import structlog

from directory.interval import FINAL_AFTER_NS
from node_agent.attribution.directory_answers import bounded_body, parse_answers
from podsonar.cookies import no_cookies
from podsonar.directory_answer import Answer, Query
from podsonar.errors import DirectoryUnavailableError, NotFinalYetError, SettingsError, TokenError, words_of
from podsonar.keep_alive import CLIENT_IDLE_SECONDS
from podsonar.timestamp import NS_PER_SECOND, rfc3339

QUERIES_PER_REQUEST = 5000
LONGEST_SPREAD_NS = 60 * NS_PER_SECOND

log = structlog.get_logger()


class DirectoryClient:
    """`POST <url>/v1/resolve`, answers in the order of the questions."""

    def __init__(self, url: str, token: Callable[[], str], ca_file: str | None) -> None:
        self.url = url.rstrip("/") + "/v1/resolve"
        self.token = token
        self.share = random.random()  # noqa: S311 - of the spread: the agents of a cluster ask at different times
        try:
            verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        except OSError as error:
            raise SettingsError(
                f"setting directory.caFile is {ca_file!r}: {error.strerror or error}; expected a readable PEM file"
            ) from error
        if not ca_file and url.startswith("http://"):
            verify = ssl.SSLContext(
                ssl.PROTOCOL_TLS_CLIENT
            )  # unused, so no authorities are loaded: saves 0.7 MiB per node
        self.client = httpx.Client(
            verify=verify,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(30, connect=5),
            limits=httpx.Limits(keepalive_expiry=CLIENT_IDLE_SECONDS),
            cookies=no_cookies(),
        )

    def ask(self, queries: list[Query]) -> list[Answer]:
        """Return one answer per query; DirectoryUnavailableError if the directory cannot answer now."""
        due_ns = self.due_ns(queries)
        if time.time_ns() < due_ns:
            raise NotFinalYetError(f"the window's questions are asked at {rfc3339(due_ns)}, not before", due_ns)
        answers: list[Answer] = []
        for start in range(0, len(queries), QUERIES_PER_REQUEST):
            answers.extend(self.ask_once(queries[start : start + QUERIES_PER_REQUEST]))
        return answers

    def due_ns(self, queries: list[Query]) -> int:
        """Return when the answers are final, plus this agent's share of a tenth of the window (at most a minute)."""
        timed = [query for query in queries if query.address is not None]
        first_ns = min((query.from_ns for query in timed), default=0)
        last_ns = max((query.to_ns for query in timed), default=0)
        return last_ns + FINAL_AFTER_NS + int(self.share * min((last_ns - first_ns) // 10, LONGEST_SPREAD_NS))

    def ask_once(self, queries: list[Query]) -> list[Answer]:
        """Return the answers to the queries of one request."""
        content = orjson.dumps({"queries": [query.wire() for query in queries]})
        try:
            headers = {
                "Authorization": f"Token {self.token()}",
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
            }
            with self.client.stream("POST", self.url, content=content, headers=headers) as response:
                if response.status_code != 200:
                    raise DirectoryUnavailableError(
                        f"directory {self.url} answered {response.status_code}, expected 200"
                    )
                body = bounded_body(response, len(queries))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, TokenError) as error:
            raise DirectoryUnavailableError(f"directory {self.url}: {words_of(error)}") from error
        answers, malformed = parse_answers(body, len(queries))
        if malformed:
            log.warning("answers_malformed", answers=len(answers), malformed=malformed)
        return answers
