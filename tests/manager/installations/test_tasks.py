"""Tasks are leased, handed out again, ended once, and kept apart by tenant, cluster and agent."""

import base64
import secrets

import pytest
from sqlalchemy import select

from manager.installations.installations import take_away
from manager.installations.log_access import find_delegate_writer
from manager.installations.reports import Outcome
from manager.store.agents import purge_agent
from manager.store.tables import TOKENS
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import authenticate, create_token
from manager.store.tokens.token_format import Token, parse
from tests.manager.installations.conftest import DELEGATE, Desk


def test_task_is_leased_once_and_reported_to_its_end(desk: Desk) -> None:
    """PROCESSED → RUNNING → SUCCESS; the same end again is accepted, another one is not."""
    installation = desk.install(desk.agent())
    assert desk.task(installation.task_id).status == "PROCESSED"
    (task,) = desk.lease()
    assert (task.status, task.attempt, task.delegate_id) == ("RUNNING", 1, DELEGATE.id)
    assert desk.lease(running=(task.id,)) == []
    assert desk.report(task, "RUNNING", a="absent") is Outcome.ACCEPTED
    assert desk.report(task, "SUCCESS", a="created") is Outcome.ACCEPTED
    assert desk.report(task, "SUCCESS", a="created") is Outcome.ACCEPTED
    assert desk.report(task, "FAILED") is Outcome.LOST
    assert desk.lease() == []
    assert desk.installation(installation).agent_status == "RUNNING"


def test_lease_that_is_not_renewed_goes_to_another_attempt(desk: Desk) -> None:
    """After 60 s, and not before; a report renews it, and one of the earlier attempt is refused."""
    desk.install(desk.agent())
    (first,) = desk.lease()
    other = DELEGATE._replace(id="d-2")
    desk.pass_time(59)
    assert desk.lease(other) == []
    assert desk.report(first, "RUNNING") is Outcome.ACCEPTED
    desk.pass_time(59)
    assert desk.lease(other) == []
    desk.pass_time(1)
    (second,) = desk.lease(other)
    assert second.attempt == 2
    assert desk.report(first, "SUCCESS") is Outcome.LOST
    assert desk.report(second, "SUCCESS") is Outcome.ACCEPTED


def test_delegate_that_does_not_name_its_task_as_running_gets_it_again_at_once(desk: Desk) -> None:
    """It ended in between: there is nothing to wait for."""
    desk.install(desk.agent())
    (first,) = desk.lease()
    (second,) = desk.lease()
    assert (second.id, second.attempt) == (first.id, 2)


def test_only_the_latest_poll_of_a_delegate_gets_its_task_again(desk: Desk) -> None:
    """An earlier poll that is still held knows nothing of what was handed out since; a task that waits it may take."""
    desk.install(desk.agent())
    earlier, later = desk.ask(), desk.ask()
    (first,) = desk.lease(earlier)
    (second,) = desk.lease(later)
    assert (second.id, second.attempt) == (first.id, 2)
    assert desk.lease(earlier) == []
    assert desk.report(second, "RUNNING") is Outcome.ACCEPTED
    desk.pass_time(60)
    (third,) = desk.lease(earlier)
    assert third.attempt == 3


@pytest.mark.parametrize("tenant", [Tenant("other"), Tenant("acme", "other"), Tenant("acme", "default", "other")])
def test_delegate_gets_tasks_of_its_own_tenant_alone(desk: Desk, tenant: Tenant) -> None:
    """And its reports about others are of tasks that are not there."""
    desk.install(desk.agent())
    assert desk.lease(DELEGATE._replace(id="d-2", tenant=tenant)) == []
    (task,) = desk.lease()
    assert task.tenant.account == "acme"


def test_tasks_of_one_agent_come_one_after_the_other(desk: Desk) -> None:
    """Nothing is deleted while it is being applied; and in the cluster that the agent is in."""
    installation = desk.install(desk.agent())
    (task,) = desk.lease()
    desk.report(task, "RUNNING", a="absent")
    stopped = desk.stop(installation)
    assert stopped.removal_task_id is not None
    assert desk.task(task.id).status == "ABORTED"
    assert desk.report(task, "RUNNING") is Outcome.LOST
    assert desk.lease(DELEGATE._replace(id="d-2", cluster_uid="cluster-2")) == []
    (removal,) = desk.lease()
    assert removal.kind == "delete"
    assert desk.wire(removal)["objects"] == [
        {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "hce", "name": "a", "uid": ""}
    ]


def test_token_of_an_agent_is_the_same_at_each_attempt_and_only_its_hash_is_stored(desk: Desk) -> None:
    """Derived from the delegate's; it opens what the agent pushes, and nothing in the database could make it."""
    agent = desk.agent()
    desk.install(agent)
    (first,) = desk.lease()
    (second,) = desk.lease()
    lists = [desk.wire(task)["manifests"] for task in (first, second)]
    assert lists[0] == lists[1]
    (secret,) = (one for one in lists[0] if one["kind"] == "Secret")
    text = base64.b64decode(secret["data"]["token"]).decode()
    principal, token = authenticate(desk.store, text, "ingest", desk.now_ns), parse(text)
    assert principal
    assert token
    assert principal.agent_id == agent.id
    with desk.store.reading() as connection:
        stored = [str(row) for row in connection.execute(select(TOKENS))]
    assert not any(token.secret in row for row in stored)
    other = desk.wire(second, Token("0" * 12, "t" * 43))["manifests"]
    assert other != lists[0]


def may_write_log(desk: Desk, token: str, account: str, key: str) -> bool:
    """Whether a delegate's token may write to a stream, as the log service asks."""
    writer = find_delegate_writer(desk.store, token, account, key, desk.now_ns)
    return writer is not None and writer.may_write(account, key)


def test_delegate_may_write_to_the_log_of_its_own_tasks(desk: Desk) -> None:
    """Once one was handed out; not to another stream, nor of another account."""
    installation = desk.install(desk.agent())
    token = create_token(desk.store, "delegate", "d", 1, secrets.token_bytes, tenant=Tenant("acme")).text()
    other = create_token(desk.store, "delegate", "d", 1, secrets.token_bytes, tenant=Tenant("other")).text()
    key = installation.log_stream_id
    assert not may_write_log(desk, token, "acme", key)
    desk.lease()
    assert may_write_log(desk, token, "acme", key)
    assert not may_write_log(desk, token, "acme", key + "x")
    assert not may_write_log(desk, token, "other", key)
    assert not may_write_log(desk, other, "acme", key)
    assert not may_write_log(desk, other, "other", key)


def test_agent_that_is_removed_is_taken_away_first(desk: Desk) -> None:
    """By `podsonar manager agent remove`, too; `purge` waits until nothing of it is left in the cluster."""
    agent = desk.agent()
    desk.install(agent)
    (task,) = desk.lease()
    desk.report(task, "RUNNING", a="absent", b="absent")
    desk.report(task, "SUCCESS", a="created", b="created")
    assert take_away(desk.store, agent.identity, agent.tenant, desk.now_ns, secrets.token_bytes) == 2
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", a="deleted", b="deleted")
    assert take_away(desk.store, agent.identity, agent.tenant, desk.now_ns, secrets.token_bytes) == 0
    assert take_away(desk.store, "nobody", agent.tenant, desk.now_ns, secrets.token_bytes) == 0
    counts = purge_agent(desk.store, agent.identity, agent.tenant)
    assert (counts["installations"], counts["delegate_tasks"]) == (1, 2)
