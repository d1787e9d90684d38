"""Whose token opens which stream: one account, one key prefix, nothing of anybody else."""

import pytest

from tests.chaos.conftest import ACCOUNT, Manager, log_token
from tests.manager.conftest import CLIENT

LINE = {"level": "info", "pos": 1, "out": "secret of a tenant", "time": "2025-05-01T17:27:56Z"}
OPERATIONS = [("POST", ""), ("PUT", "/stream"), ("POST", "/blob"), ("DELETE", ""), ("POST", "/blob/link/upload")]
READS = [("GET", "/stream"), ("GET", "/blob"), ("GET", "/blob/exists")]


def test_two_accounts_with_equal_keys_share_nothing(manager: Manager, key: str) -> None:
    """A token of one account gets 403 for the other's stream of the same key."""
    manager.log("PUT", "/stream", key, [LINE])
    other = log_token(manager.database, "other")
    for method, path in OPERATIONS + READS:
        answer = manager.log(method, path, key, [LINE], token=other)
        assert answer.status_code == 403, (method, path)
        assert "secret" not in answer.text
    assert manager.log("PUT", "/stream", key, [LINE], token=other, account="other").status_code == 204
    assert manager.log("GET", "/blob/exists", key, token=other, account="other").status_code == 200
    assert manager.info(key)["lines"] == manager.info(key, "other")["lines"] == 1


def test_token_of_a_run_writes_below_its_prefix_alone(manager: Manager, key: str) -> None:
    """A prefix ends at `-`, `/` or `:`; a longer name that begins alike is another one."""
    token = log_token(manager.database, prefix=key)
    for good in (key, f"{key}-step", f"{key}/step", f"{key}:step"):
        assert manager.log("PUT", "/stream", good, [LINE], token=token).status_code == 204
    for bad in (f"{key}step", key[:-1], "x"):
        assert manager.log("PUT", "/stream", bad, [LINE], token=token).status_code == 403
    assert manager.log("DELETE", "", key, token=token, query={"keys": "x"}).status_code == 403


def test_close_by_prefix_closes_what_begins_with_the_key_and_may_be_written(manager: Manager, key: str) -> None:
    """Case, wildcards and other accounts' streams are told apart; closed streams keep their lines."""
    closed = [f"{key}/A", f"{key}/A-step", f"{key}/A_1", f"{key}/A%"]
    stay = [f"{key}/a", f"{key}/B", f"x{key}/A"]
    for name in closed + stay:
        manager.log("PUT", "/stream", name, [LINE])
    other = log_token(manager.database, "other")
    manager.log("PUT", "/stream", f"{key}/A", [LINE], token=other, account="other")
    for wildcard in (f"{key}/A%", f"{key}/A_"):
        manager.log("PUT", "/stream", wildcard, [LINE])
        assert manager.log("DELETE", "", wildcard, query={"prefix": "true"}).status_code == 204
        assert manager.info(f"{key}/A-step")["isOpen"]
    narrow = log_token(manager.database, prefix=f"{key}/A")
    assert manager.log("DELETE", "/stream", f"{key}/", token=narrow, query={"prefix": "true"}).status_code == 403
    given = {"prefix": "true", "snapshot": "true"}
    assert manager.log("DELETE", "/stream", f"{key}/A", token=narrow, query=given).status_code == 204
    assert [manager.info(name)["isOpen"] for name in (f"{key}/A", f"{key}/A-step")] == [False, False]
    assert manager.log("DELETE", "/stream", f"{key}/A", query=given).status_code == 204
    assert [manager.info(name)["isOpen"] for name in closed] == [False] * len(closed)
    assert all(manager.info(name)["isOpen"] for name in stay)
    assert manager.info(f"{key}/A", "other")["isOpen"]
    assert all(manager.lines(name) == [LINE] for name in (f"{key}/A", f"{key}/A-step", f"{key}/B"))


@pytest.mark.parametrize("token", ["", "nonsense", "podsonar_000000000000_" + "A" * 43])
def test_without_a_good_token_every_operation_is_401(manager: Manager, key: str, token: str) -> None:
    """The refusal does not depend on whether the stream is there."""
    for method, path in OPERATIONS[:2] + READS[:1]:
        answer = manager.log(method, path, key, [LINE], token=token, elsewhere=True)
        assert answer.status_code == 401
        assert set(answer.json()) == {"error_msg"}


def test_person_reads_and_does_not_write(manager: Manager, key: str) -> None:
    """The key of the API reads every stream; writing wants a token of the log service."""
    manager.log("PUT", "/stream", key, [LINE])
    for header in ({"X-API-Key": manager.key}, {"Authorization": f"Bearer {manager.key}"}):
        url, query = f"{manager.url}/log-service", {"accountID": ACCOUNT, "key": key}
        assert CLIENT.get(f"{url}/blob", params=query, headers=header).status_code == 200
        assert CLIENT.put(f"{url}/stream", params=query, headers=header, json=[LINE]).status_code in {401, 429}
