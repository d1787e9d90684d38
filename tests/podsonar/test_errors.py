"""podsonar/errors.py: an error of a library in a sentence of ours."""

import httpx
import pytest

from podsonar.errors import words_of
from tests.answering_server import GivenAnswer, answering


def test_error_that_says_nothing_is_named_by_its_class() -> None:
    """One of httpx, for instance: the pool's only connection is in use."""
    client = httpx.Client(timeout=httpx.Timeout(30, pool=0.01), limits=httpx.Limits(max_connections=1), trust_env=False)
    with (
        answering(lambda _received: GivenAnswer(200, b"x")) as url,
        client,
        client.stream("GET", url),
        pytest.raises(httpx.PoolTimeout) as found,
    ):
        client.get(url)
    assert words_of(found.value) == "PoolTimeout"


def test_error_that_says_something_is_quoted() -> None:
    """In its own words, without its class."""
    assert words_of(ValueError("no number")) == "no number"
