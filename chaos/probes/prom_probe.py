"""A probe that asks a Prometheus (HTTP API v1) for one number, and compares it."""

from urllib.parse import urlencode

import orjson

from chaos.probes.attempt import Attempt
from chaos.probes.comparator import ComparisonError, meets
from chaos.probes.http_probe import FAILURES, send
from chaos.task_action import HttpInputs, HttpMethod, PromInputs

REFUSED = (400, 422)  # bad_data, execution: what a query that cannot be answered is given


def value_of(body: str) -> str | None:
    """The one number of an answer; None if it has none, ValueError if it is no such answer."""
    answer = orjson.loads(body)
    try:
        data = answer["data"]
        if data["resultType"] == "scalar":
            return str(data["result"][1])
        if data["resultType"] != "vector" or len(data["result"]) > 1:
            raise ValueError(f"{data['resultType']} of {len(data['result'])}: expected one number, such as sum(…)")
        return str(data["result"][0]["value"][1]) if data["result"] else None
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("no answer of a Prometheus") from error


def try_prometheus(inputs: PromInputs, seconds: float) -> Attempt:
    """One try: no number is a failure, a query that Prometheus refuses is an error."""
    url = f"{inputs.endpoint.rstrip('/')}/api/v1/query?{urlencode({'query': inputs.query})}"
    if not url.isascii() or not url.startswith(("http://", "https://")):
        return Attempt("Error", "endpoint: expected http:// or https:// with a host")
    try:
        status, body = send(HttpInputs(url), "GET", HttpMethod(), seconds)
        if status in REFUSED:
            return Attempt("Error", f"query {inputs.query[:200]!r}: Prometheus answered {status}")
        if status != 200:
            return Attempt("Failed", f"Prometheus answered {status}, expected 200")
        found = value_of(body)
        if found is None:
            return Attempt("Failed", f"query {inputs.query[:200]!r} has no result")
        met = meets(found, inputs.comparator)
    except FAILURES as error:
        return Attempt("Failed", f"Prometheus: {type(error).__name__}")
    except ComparisonError as error:
        return Attempt("Error", f"unable to compare: {error}")
    except ValueError as error:
        return Attempt("Error", f"query {inputs.query[:200]!r}: {error}")
    expected = f"{inputs.comparator.criteria} {inputs.comparator.value[:80]}"
    return Attempt("Passed" if met else "Failed", f"{found}: {'' if met else 'expected '}{expected}")
