"""What the manager counts, on a real scrape."""

import subprocess

from prometheus_client.parser import text_string_to_metric_families

from tests.manager.conftest import CLIENT, Running
from tests.manager.shop import NODE_A


def scraped(manager: Running) -> dict[tuple[str, ...], float]:
    """Samples by name and label values; promtool finds nothing wrong with the text."""
    text = CLIENT.get(f"{manager.url}/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_pushes_are_counted_by_what_became_of_them(running: Running) -> None:
    """Stored, duplicate and rejected batches, refused callers by reason, active agents, transactions."""
    assert running.push(NODE_A, "b-1").status_code == 201
    assert running.push(NODE_A, "b-1").status_code == 201
    assert running.push({"connectionList": 5}, "b-2").status_code == 400
    url = f"{running.url}/api/v1/collections"
    assert CLIENT.post(url).status_code == 401
    wrong = {"Authorization": f"Token {running.token[:-4]}AAAA"}
    assert CLIENT.post(url, headers=wrong).status_code == 401
    found = scraped(running)
    batches = "podsonar_manager_ingest_batches_total"
    assert {key[1]: n for key, n in found.items() if key[0] == batches} == {
        "stored": 1,
        "duplicate": 1,
        "stale": 0,
        "rejected": 1,
    }
    requests = "podsonar_manager_ingest_requests_total"
    assert {key[1]: n for key, n in found.items() if key[0] == requests} == {"201": 2, "400": 1, "401": 2}
    failures = "podsonar_manager_auth_failures_total"
    assert {key[1]: n for key, n in found.items() if key[0] == failures} == {
        "no_token": 1,
        "wrong_token": 1,
        "agent_gone": 0,
        "too_many": 0,
    }
    assert found["podsonar_manager_agents", "active"] == 1
    assert found["podsonar_manager_agents", "stale"] == 0
    assert found["podsonar_manager_db_transaction_seconds_count",] >= 2
